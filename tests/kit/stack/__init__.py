"""The whole product on one machine: the built template deployed onto a local AWS emulator, with a stand-in
for Personr beside it.
"""

from tests.kit.stack.embedded import Caller, EmbeddedStack, Reply, StackError, User, Version
from tests.kit.stack.ministack import MiniStack

__all__ = ["Caller", "EmbeddedStack", "MiniStack", "Reply", "StackError", "User", "Version"]
