"""Whether the aliases run what was deployed last."""

from collections.abc import Iterator
from datetime import datetime

from token_vending_ops import commands
from token_vending_ops.checks.access import doors_of
from token_vending_ops.deployed import DeployedStack
from token_vending_ops.findings import OK, WARNING, Finding

COMPARED = ("CodeSha256", "Environment", "Layers")


def live_version(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    """Each alias runs the code and the settings that were deployed last."""
    functions = stack.client("lambda")
    aliases = {"RefreshFunctionName": ["live"], "VendFunctionName": [door.alias for door in doors_of(stack)]}
    for output, names in aliases.items():
        function, name = output.removesuffix("Name"), stack.outputs[output]
        latest = functions.get_function_configuration(FunctionName=name, Qualifier="$LATEST")
        for alias in names:
            live = functions.get_function_configuration(FunctionName=name, Qualifier=alias)
            if all(live.get(part) == latest.get(part) for part in COMPARED):
                saw = f"{function}:{alias} runs what was deployed last (version {live['Version']})"
                yield Finding("live version", OK, saw)
            else:
                saw = f"{function}:{alias} runs version {live['Version']}, not what was deployed last"
                yield Finding("live version", WARNING, saw, commands.publish(name, alias))
