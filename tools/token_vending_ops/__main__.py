"""Examines a deployed stack from outside: `python -m token_vending_ops doctor --stack NAME`, and other commands."""

import argparse
import sys
from collections.abc import Callable

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from token_vending_ops import releases
from token_vending_ops.deployed import DeployedStack, NoSuchStackError
from token_vending_ops.doctor import examine
from token_vending_ops.findings import COULD_NOT_LOOK, as_json, as_table, exit_code


def main(arguments: list[str] | None = None) -> int:
    """0 all is well, 1 something needs attention, 2 callers have errors or soon will, 3 it could not be examined."""
    parser = argparse.ArgumentParser(prog="token_vending_ops", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--stack", required=True, help="the stack's name")
    common.add_argument("--region", help="as the AWS CLI takes it; default: the environment's")

    def verb(name: str, run: Callable[[DeployedStack, argparse.Namespace], int]) -> argparse.ArgumentParser:
        text = run.__doc__ or ""
        added = verbs.add_parser(name, parents=[common], help=text.partition(".")[0], description=text)
        added.set_defaults(run=run)
        return added

    verb("doctor", _doctor).add_argument("--json", action="store_true", help="for machines")
    verb("releases", _releases).add_argument(
        "--roll-back", action="store_true", help="the commands that go back to the release before the last"
    )
    chosen = parser.parse_args(arguments)
    try:
        deployed = DeployedStack(chosen.stack, boto3.Session(region_name=chosen.region))
        return int(chosen.run(deployed, chosen))
    except NoSuchStackError as error:
        sys.stderr.write(f"{error}\n")
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"AWS does not answer: {error}\n")
    return COULD_NOT_LOOK


def _doctor(stack: DeployedStack, chosen: argparse.Namespace) -> int:
    """Examine it, change nothing. Exit codes: 0 well, 1 attention, 2 callers have errors or soon will, 3 not seen."""
    findings = examine(stack)
    sys.stdout.write(as_json(findings) if chosen.json else as_table(findings))
    return exit_code(findings)


def _releases(stack: DeployedStack, chosen: argparse.Namespace) -> int:
    """Show which versions were live, and since when, for the last 90 days."""
    found = releases.releases(stack)
    if not chosen.roll_back:
        sys.stdout.write(releases.as_table(found))
        return 0
    commands = releases.roll_back(stack, found)
    if not commands:
        sys.stderr.write("CloudFormation has no events of an earlier release: deploy the previous commit\n")
        return 1
    sys.stdout.write("\n".join(commands) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
