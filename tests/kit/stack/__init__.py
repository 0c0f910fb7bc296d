"""The whole product on one machine: the built template deployed onto a local AWS emulator (MiniStack), with the
stand-in for Personr beside it.

It is there for what only a deployment shows: that the template deploys, that the schedule fires, that roles and
policies let through what they should. IAM users, execution roles, resource policies and URL signatures are enforced.

Known to differ: KMS keys are not enforced; a function's dead-letter queue and the retries of the schedule and of
asynchronous invokes are ignored; composite alarms and a secret's resource policy are refused, so a parameter leaves
them out; an exception's type is replaced; alarms are judged when metrics are put, and not as time goes by; its
PutSecretValue loses labels, so the protocol is tested on tests/kit/secrets_manager instead; what emulator.py says.
"""

from tests.kit.stack.embedded import Caller, EmbeddedStack, Version
from tests.kit.stack.emulated_aws import StackError, User
from tests.kit.stack.ministack import MiniStack

__all__ = ["Caller", "EmbeddedStack", "MiniStack", "StackError", "User", "Version"]
