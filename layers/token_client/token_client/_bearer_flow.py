"""What to do about a vendor's 401, as a generator that does no input or output itself.

It yields what it wants done and is sent the result. ``_supply`` gives the tokens and takes the reports; ``_pool``
and the adapters for requests and httpx send, each in its own way::

    TakeToken()      → a Token
    Send(token)      → a Reply
    Report(version)  → None

The protocol: send once; when refused, report the version, take the next token, and send once more. Never a third
time: whatever the second answer is, it is the answer. A second token that is refused as well is reported too, so
that the stack heals before the next request comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING

from ._errors import RequestNotRepeatable
from ._token import Token

if TYPE_CHECKING:
    from collections.abc import Generator


class Reply(Enum):
    """What an answer says about the token it was asked with."""

    ACCEPTED = auto()
    REFUSED = auto()

    @classmethod
    def to(cls, status: int, *, carried_token: bool) -> Reply:
        """Read it from the answer's status.

        Args:
            status: the HTTP status.
            carried_token: whether the request that was answered last carried the token. A redirect to another
                host goes without it, and that host's 401 says nothing about the token.
        """
        return cls.REFUSED if carried_token and status == HTTPStatus.UNAUTHORIZED else cls.ACCEPTED


@dataclass(frozen=True, slots=True)
class TakeToken:
    """Wants a token; it may take the time the client is allowed to wait."""


@dataclass(frozen=True, slots=True)
class Send:
    """Wants the request sent with this token."""

    token: Token


@dataclass(frozen=True, slots=True)
class Report:
    """Wants the version reported as refused.

    Attributes:
        version: which one.
        answer_stands: the request has been answered, and nothing that becomes of the report changes that.
    """

    version: str
    answer_stands: bool = False


Step = TakeToken | Send | Report
Outcome = Token | Reply | None


def bearer_flow(*, repeatable: bool) -> Generator[Step, Outcome]:
    """The steps of one request.

    Args:
        repeatable: whether the request can be sent twice, body and all.

    Raises:
        RequestNotRepeatable: the token was refused (and has been reported), and the request cannot be sent
            again.
    """
    token = yield TakeToken()
    if not isinstance(token, Token):
        raise TypeError("TakeToken must be answered with a Token")
    if (yield Send(token)) is not Reply.REFUSED:
        return
    yield Report(token.version)
    if not repeatable:
        raise RequestNotRepeatable(
            f"the vendor refused token version {token.version}, and the request's body is a stream that"
            " cannot be sent again; the version has been reported, so a new request with a new body is given the"
            " next token"
        )
    replacement = yield TakeToken()
    if not isinstance(replacement, Token):
        raise TypeError("TakeToken must be answered with a Token")
    if (yield Send(replacement)) is Reply.REFUSED and replacement.version != token.version:
        yield Report(replacement.version, answer_stands=True)
