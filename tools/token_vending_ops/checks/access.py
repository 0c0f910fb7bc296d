"""Who may ask for the token: neither fewer than the template says, nor more."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError

from token_vending_ops import commands
from token_vending_ops.deployed import DeployedStack
from token_vending_ops.findings import CRITICAL, OK, WARNING, Finding
from token_vending_ops.policies import Grant, allowed, grants_of, parsed

OWN_POLICIES = {"RefreshRole": "refresh", "VendRole": "vend", "ScheduleRole": "schedule"}


@dataclass(frozen=True)
class Door:
    """A way to ask: the alias behind it, the managed policy of its callers, and what they need."""

    name: str
    alias: str
    policy_output: str
    actions: frozenset[str]


DIRECT = Door("direct", "live", "CallerPolicyArn", frozenset({"lambda:InvokeFunction"}))
# A URL needs both: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
URL = Door(
    "URL", "url", "UrlCallerPolicyArn", frozenset({"lambda:InvokeFunction", "lambda:InvokeFunctionUrl"})
)


def doors_of(stack: DeployedStack) -> tuple[Door, ...]:
    """The doors that this stack was deployed with."""
    return (DIRECT, URL) if stack.has_url else (DIRECT,)


def doors(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    """Those who are to ask can: each door's managed policy, the callers' accounts, and the URL itself."""
    yield from _urls(stack)
    for door in doors_of(stack):
        alias = f"{stack.vend_function_arn}:{door.alias}"
        given = allowed(_managed_policy(stack, stack.outputs[door.policy_output]))
        yield _permissions(stack, f"the {door.name} caller policy", given, {(a, alias) for a in door.actions})
        here = _resource_policy(stack, stack.outputs["VendFunctionName"], door.alias)
        for account in stack.caller_accounts:
            for_account = {(a, alias) for grant in here if grant.account == account for a in grant.actions}
            wanted = {(action, alias) for action in door.actions}
            yield _permissions(stack, f"account {account} ({door.name})", for_account, wanted)


def _urls(stack: DeployedStack) -> Iterator[Finding]:
    name = stack.outputs["VendFunctionName"]
    functions = stack.client("lambda")
    configs = functions.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    own = stack.outputs["VendUrl"] if stack.has_url else None
    for config in configs:
        if config["FunctionUrl"] != own:
            saw = f"{config['FunctionUrl']} is none of the stack's"
            yield Finding("permissions", CRITICAL, saw, commands.remove_url(config["FunctionArn"]))
        elif config["AuthType"] != "AWS_IAM":
            saw = f"the AuthType of the URL is {config['AuthType']}: open to everybody"
            yield Finding("permissions", CRITICAL, saw, commands.close_url(name, URL.alias))
    if own is not None and own not in {config["FunctionUrl"] for config in configs}:
        saw = "the URL is gone: what the stack made was deleted"
        yield Finding("permissions", CRITICAL, saw, commands.drift(stack))


def _permissions(
    stack: DeployedStack, who: str, given: set[tuple[str, str]], wanted: set[tuple[str, str]]
) -> Finding:
    missing, extra = wanted - given, given - wanted
    if not missing and not extra:
        return Finding("permissions", OK, f"{who} allows what it should")
    parts = [f"lacks {action}" for action, _ in sorted(missing)]
    parts += [f"allows {action} on {resource}, too" for action, resource in sorted(extra)]
    return Finding("permissions", CRITICAL, f"{who} {' and '.join(parts)}", commands.drift(stack))


def grants(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    """Nobody else can: what resource policies, the key and the functions' destinations give to others."""
    found = [*_function_grants(stack), *_secret_grants(stack), *_key_grants(stack), *_destinations(stack)]
    yield from found or [Finding("grants", OK, "nobody has more than the template gives")]


def _function_grants(stack: DeployedStack) -> Iterator[Finding]:
    vend, refresh = stack.outputs["VendFunctionName"], stack.outputs["RefreshFunctionName"]
    aliases = [DIRECT.alias, URL.alias]
    places: list[tuple[str, str | None]] = [(vend, None), *((vend, alias) for alias in aliases)]
    places += [(refresh, None), (refresh, "live")]
    for name, qualifier in places:
        expected = stack.caller_accounts if name == vend and qualifier is not None else frozenset()
        for grant in _resource_policy(stack, name, qualifier):
            if grant.account not in expected:
                where = f"{name}:{qualifier}" if qualifier else name
                yield _foreign(grant, where, commands.remove_permission(name, qualifier, grant.statement))


def _secret_grants(stack: DeployedStack) -> Iterator[Finding]:
    manager = stack.client("secretsmanager")
    for output in ("TokenSecretArn", "CredentialsSecretArn"):
        arn = stack.outputs[output]
        try:
            policy = manager.get_resource_policy(SecretId=arn).get("ResourcePolicy")
        except manager.exceptions.ResourceNotFoundException:
            continue  # its own check says so
        for grant in grants_of(policy):
            command = f"aws secretsmanager delete-resource-policy --secret-id {arn}"
            yield _foreign(grant, output.removesuffix("Arn"), command)


def _key_grants(stack: DeployedStack) -> Iterator[Finding]:
    key = stack.resources.get("EncryptionKey")  # an existing key is its owner's business
    if key is None:
        return
    policy = stack.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    for grant in grants_of(policy):
        if grant.account != stack.account:
            yield _foreign(grant, "EncryptionKey", commands.drift(stack))


def _foreign(grant: Grant, where: str, command: str) -> Finding:
    saw = f"{grant.who} may {', '.join(sorted(grant.actions))} on {where}; the template says nothing of it"
    return Finding("grants", CRITICAL if grant.open else WARNING, saw, command)


def _destinations(stack: DeployedStack) -> Iterator[Finding]:
    functions = stack.client("lambda")
    for output in ("VendFunctionName", "RefreshFunctionName"):
        name = stack.outputs[output]
        pages = functions.get_paginator("list_function_event_invoke_configs").paginate(FunctionName=name)
        for config in (config for page in pages for config in page["FunctionEventInvokeConfigs"]):
            target = config.get("DestinationConfig", {}).get("OnSuccess", {}).get("Destination")
            if target is None:
                continue
            hands_out = output == "VendFunctionName"
            what = "its answers, each with the token," if hands_out else "its reports"
            saw = f"{name}: {what} are sent to {target} (OnSuccess)"
            severity = CRITICAL if hands_out else WARNING
            yield Finding("grants", severity, saw, commands.remove_destination(config["FunctionArn"]))


def _resource_policy(stack: DeployedStack, function: str, qualifier: str | None) -> list[Grant]:
    functions = stack.client("lambda")
    try:
        which = {"Qualifier": qualifier} if qualifier else {}
        answer = functions.get_policy(FunctionName=function, **which)
    except ClientError as error:
        # So it answers when nobody has been granted anything, too.
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise
    return grants_of(answer["Policy"])


def _managed_policy(stack: DeployedStack, arn: str) -> dict[str, object]:
    iam = stack.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return parsed(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def roles(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    """The functions' and the schedule's roles are as deployed: no policy more, no drift."""
    formation, iam = stack.client("cloudformation"), stack.client("iam")
    for role, own_policy in OWN_POLICIES.items():
        name = stack.resources[role]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        foreign = [
            (
                policy["PolicyName"],
                f"detach-role-policy --role-name {name} --policy-arn {policy['PolicyArn']}",
            )
            for policy in attached
        ] + [
            (policy, f"delete-role-policy --role-name {name} --policy-name {policy}")
            for policy in sorted(set(inline) - {own_policy})
        ]
        for policy, command in foreign:
            saw = f"{role} has a policy that is not ours: {policy}"
            yield Finding("roles", CRITICAL, saw, f"aws iam {command}")
        drift = formation.detect_stack_resource_drift(StackName=stack.name, LogicalResourceId=role)
        status = drift["StackResourceDrift"]["StackResourceDriftStatus"]
        in_sync = status == "IN_SYNC"
        saw = f"{role} is as deployed" if in_sync else f"{role} is {status}"
        yield Finding("roles", OK if in_sync else CRITICAL, saw, "" if in_sync else commands.drift(stack))
