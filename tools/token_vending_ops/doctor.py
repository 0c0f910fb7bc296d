"""Every check of a deployed stack, in the order in which an operator wants to read them.

Each looks at one thing from outside, changes nothing, and shows no secret.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from token_vending_ops import commands
from token_vending_ops.checks.access import doors, grants, roles
from token_vending_ops.checks.alarms import alarms
from token_vending_ops.checks.schedule import dead_letters, schedule
from token_vending_ops.checks.secrets import credentials, lock, token
from token_vending_ops.checks.versions import live_version
from token_vending_ops.deployed import DeployedStack, MissingPartError
from token_vending_ops.findings import CRITICAL, OK, UNKNOWN, WARNING, Finding

SECRET_OF_CHECK = {"credentials": "CredentialsSecretArn", "token": "TokenSecretArn", "lock": "TokenSecretArn"}
GONE = re.compile(r"NotFound|NoSuchEntity|NonExistent|NotExist")
"""In the error codes by which the services say that a thing does not exist; no two of them agree."""

type Check = Callable[[DeployedStack, datetime], Iterator[Finding]]


def examine(stack: DeployedStack, now: datetime | None = None) -> list[Finding]:
    """Every check's findings. A check that fails is a finding itself, and stops no other."""
    now = now or datetime.now(UTC)
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check(stack, now)
        except ClientError as error:
            findings.append(_refusal(name, error, stack))
        except MissingPartError as error:
            saw = f"the stack has no {error}: it was not deployed completely"
            findings.append(Finding(name, CRITICAL, saw, commands.events(stack)))
        except Exception as error:  # noqa: BLE001  the other checks are needed, whatever this one met
            # Its text may hold what was read.
            findings.append(Finding(name, UNKNOWN, f"could not be examined: {type(error).__name__}"))
    return findings


def _refusal(name: str, error: ClientError, stack: DeployedStack) -> Finding:
    """What it means that AWS answers with an error: a thing is gone, or we may not see it."""
    code = error.response["Error"]["Code"]
    reason = f"{error.operation_name}: {code}"
    if code == "InvalidRequestException" and name in SECRET_OF_CHECK:
        arn = stack.outputs[SECRET_OF_CHECK[name]]
        restore = f"aws secretsmanager restore-secret --secret-id {arn}"
        return Finding(name, CRITICAL, f"the secret is marked for deletion ({reason})", restore)
    if GONE.search(code):
        if name in SECRET_OF_CHECK:
            saw = f"the secret is gone ({reason}): docs/operations.md#restore-a-deleted-secret"
        elif name == "schedule":
            saw = f"it or its log is gone ({reason}): docs/operations.md#no-tick"
        else:
            saw = f"what the stack made is gone ({reason})"
        # Needs a change at the resource: CloudFormation does not notice what others delete.
        return Finding(name, CRITICAL, saw, f"sam build && sam deploy --stack-name {stack.name}")
    return Finding(name, UNKNOWN, f"AWS refused to tell: {reason}")


def stack_status(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    """CloudFormation's last operation ended well."""
    healthy = stack.status.endswith("_COMPLETE") and "ROLLBACK" not in stack.status
    command = "" if healthy else commands.events(stack)
    yield Finding("stack", OK if healthy else WARNING, f"its status is {stack.status}", command)


CHECKS: dict[str, Check] = {
    "stack": stack_status,
    "credentials": credentials,
    "token": token,
    "lock": lock,
    "schedule": schedule,
    "alarms": alarms,
    "dead letters": dead_letters,
    "permissions": doors,
    "grants": grants,
    "roles": roles,
    "live version": live_version,
}
