"""The commands that correct what the doctor found. Tests run them on the embedded stack."""

from token_vending_ops.deployed import DeployedStack

KEPT_OF_SCHEDULE = ("Name", "Description", "ScheduleExpression", "FlexibleTimeWindow", "Target")


def refresh(stack: DeployedStack, event: str) -> str:
    """Runs the refresh function's alias with one of events/."""
    return (
        f"aws lambda invoke --function-name {stack.outputs['RefreshFunctionName']}:live "
        f"--payload fileb://events/{event}.json /dev/stdout"
    )


def tick(stack: DeployedStack) -> str:
    """Does what the schedule does."""
    return refresh(stack, "plain-tick")


def force(stack: DeployedStack) -> str:
    """Mints, whatever the token's age is."""
    return refresh(stack, "forced-refresh")


def enable(schedule: str) -> str:
    """An update replaces the whole schedule, so what it must keep is read first."""
    wanted = ", ".join(f"{part}: {part}" for part in KEPT_OF_SCHEDULE)
    read = f"aws scheduler get-schedule --name {schedule} --query '{{{wanted}}}' --output json"
    return f'aws scheduler update-schedule --state ENABLED --cli-input-json "$({read})"'


def publish(function: str, alias: str) -> str:
    """To publish again what is published gives the same version, so both aliases get one version."""
    publish = f"aws lambda publish-version --function-name {function} --query Version --output text"
    return f'{move_alias(function, alias)} "$({publish})"'


def move_alias(function: str, alias: str) -> str:
    """Without its last word, the version."""
    return f"aws lambda update-alias --function-name {function} --name {alias} --function-version"


def close_url(function: str, alias: str) -> str:
    """Signed requests only."""
    which = f"--function-name {function} --qualifier {alias}"
    return f"aws lambda update-function-url-config {which} --auth-type AWS_IAM"


def remove_url(function_arn: str) -> str:
    """Of an alias that should have none."""
    return f"aws lambda delete-function-url-config {_qualified(function_arn)}"


def remove_destination(function_arn: str) -> str:
    """Of an alias that should have none."""
    return f"aws lambda delete-function-event-invoke-config {_qualified(function_arn)}"


def remove_permission(function: str, alias: str | None, statement: str) -> str:
    """One statement of a function's or an alias's resource policy."""
    qualifier = f" --qualifier {alias}" if alias else ""
    return f"aws lambda remove-permission --function-name {function}{qualifier} --statement-id {statement}"


def _qualified(function_arn: str) -> str:
    """The options for arn:…:function:name or arn:…:function:name:alias."""
    name, _, qualifier = function_arn.partition(":function:")[2].partition(":")
    return f"--function-name {name}" + (f" --qualifier '{qualifier}'" if qualifier else "")


def events(stack: DeployedStack) -> str:
    """To be read: what CloudFormation did."""
    return f"aws cloudformation describe-stack-events --stack-name {stack.name}"


def drift(stack: DeployedStack) -> str:
    """To be read: what differs from the template. A deployment does not put it back."""
    return f"aws cloudformation describe-stack-resource-drifts --stack-name {stack.name}"
