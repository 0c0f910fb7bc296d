"""Where a request goes, read as urllib3 reads it: another reading could be led to another host."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from ._connections import is_loopback
from ._errors import ConfigurationError

if TYPE_CHECKING:
    import urllib3

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454), in lower case, the scheme's own port filled in."""

    scheme: str
    host: str
    port: int | None


def origin_of(url: str) -> Origin | None:
    """The origin of an absolute URL; None for anything else."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    if not parts.scheme or not parts.host:
        return None
    scheme = parts.scheme.lower()
    return Origin(scheme, parts.host.lower(), parts.port or _DEFAULT_PORTS.get(scheme))


def is_safe(origin: Origin | None) -> bool:
    """Whether a token may travel to or from there: by https, or on this machine."""
    if origin is None:
        return False
    return origin.scheme == "https" or (origin.scheme == "http" and is_loopback(origin.host.strip("[]")))


def check_destination(url: str) -> None:
    """Make sure that a token may go there.

    Raises:
        ConfigurationError: it is neither an https URL nor an http URL of loopback.
    """
    if not is_safe(origin_of(url)):
        raise ConfigurationError("a token is sent over https only (or to loopback)")


def token_reached(url: str, response: urllib3.BaseHTTPResponse) -> bool:
    """Whether the request that was answered last still carried the token.

    urllib3 takes the header off at the first redirect to another origin, and does not put it on again should a
    later redirect lead back. So each one must have stayed.

    Args:
        url: what was asked for, with the token.
        response: what came of it, redirects followed.
    """
    asked = origin_of(url)
    redirects = () if response.retries is None else response.retries.history
    return all(
        origin_of(urljoin(hop.url or url, hop.redirect_location)) == asked
        for hop in redirects
        if hop.redirect_location
    )
