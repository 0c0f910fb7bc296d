"""What must not be shared with a forked child: locks held by threads it does not have, and open connections."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class StartsOver(Protocol):
    """Something that has locks or connections."""

    def start_over(self) -> None:
        """Replace them. Called in the child, where no other thread is; must not wait for a lock."""


_known: weakref.WeakSet[StartsOver] = weakref.WeakSet()


def start_over_in_children(thing: StartsOver) -> None:
    """Let ``thing`` start over in every child forked from now on."""
    _known.add(thing)


def _after_fork() -> None:
    for thing in _known:
        thing.start_over()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
