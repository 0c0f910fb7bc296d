"""`python -m token_vending_ops doctor --stack NAME`: looks at a deployed stack from outside and changes nothing."""

import argparse
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from token_vending_ops.deployed import DeployedStack, NoSuchStackError
from token_vending_ops.doctor import examine
from token_vending_ops.findings import COULD_NOT_LOOK, as_json, as_table, exit_code


def main(arguments: list[str] | None = None) -> int:
    """0 all is well, 1 something wants attention, 2 callers suffer or soon will, 3 the stack could not be seen."""
    parser = argparse.ArgumentParser(prog="token_vending_ops", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    doctor = verbs.add_parser("doctor", help="examine a deployed stack", description=main.__doc__)
    doctor.add_argument("--stack", required=True, help="the stack's name")
    doctor.add_argument("--region", help="as the AWS CLI takes it; default: the environment's")
    doctor.add_argument("--json", action="store_true", help="for machines")
    chosen = parser.parse_args(arguments)
    try:
        deployed = DeployedStack(chosen.stack, boto3.Session(region_name=chosen.region))
    except NoSuchStackError as error:
        sys.stderr.write(f"{error}\n")
        return COULD_NOT_LOOK
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"AWS cannot be asked: {error}\n")
        return COULD_NOT_LOOK
    findings = examine(deployed)
    sys.stdout.write(as_json(findings) if chosen.json else as_table(findings))
    return exit_code(findings)


if __name__ == "__main__":
    sys.exit(main())
