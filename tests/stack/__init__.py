"""The whole product on one machine: the built template deployed onto a local AWS emulator, with a stand-in
for Personr beside it.
"""

from tests.stack.embedded import EmbeddedStack, Reply, StackError, User
from tests.stack.ministack import MiniStack

__all__ = ["EmbeddedStack", "MiniStack", "Reply", "StackError", "User"]
