"""What all connections of this package have in common, to the vending function and to the vendor."""

from __future__ import annotations

import ipaddress

# A connection unused for this long is opened anew before use: the environment may have been frozen or
# restored from a snapshot meanwhile, and a dead connection shows itself only by a timeout. Below every idle
# timeout on the way.
IDLE_SECONDS = 50.0

CONNECT_SECONDS = 3.0


def is_idle(used_at: float, now: float) -> bool:
    """Whether a connection used last at ``used_at`` is not to be trusted; a clock set back counts as long."""
    return not 0 <= now - used_at < IDLE_SECONDS


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its name or address; nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
