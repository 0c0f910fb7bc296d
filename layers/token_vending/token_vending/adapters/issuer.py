"""Any issuer that a description can describe: the request is written, and the answer read, as it says.

Whatever it does not name may have minted. What the vendor sends never gets into an error or a log, except
its reason, reduced to a plain word.
"""

import json
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from token_vending.adapters.exchange import MAX_BODY, Answer, Lost, exchange
from token_vending.adapters.login_request import basic_authorization, login_request
from token_vending.credentials import Credentials
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    MintError,
    TokenVendingError,
    VendorProtocolError,
    VendorUnavailable,
)
from token_vending.issuers import BASE_URL, Condition, Description, Place
from token_vending.ports import Clock, Minted
from token_vending.token import Token, from_rfc3339, utc_now

LONGEST_LIFETIME = timedelta(days=3660)
"""Beyond ten years a lifetime is a mistake (milliseconds?), not a promise."""
_UNITS = {
    "seconds": timedelta(seconds=1),
    "milliseconds": timedelta(milliseconds=1),
    "minutes": timedelta(minutes=1),
    "hours": timedelta(hours=1),
    "days": timedelta(days=1),
    "epoch_seconds": timedelta(seconds=1),
    "epoch_milliseconds": timedelta(milliseconds=1),
}
_LONGEST_USER_ID = 256
_MOST_DIGITS = 20
_PLAIN_WORD = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_WORD = r"[A-Za-z][A-Za-z0-9_]{1,63}"
# Labels of letters, digits and hyphens, none longer than DNS allows, and perhaps a port.
_HOST = re.compile(r"(?=.{1,255}$)([A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}(:[0-9]{1,5})?")


class DescribedIssuer:
    """`ports.Issuer` over HTTP. `base_url` is https, or http on loopback; `settings` has seen to that.

    `probe_url` is any endpoint that answers a good token with 2xx and a dead one as the description says, and
    does nothing. `address` is how an operator calls the setting that holds the address.
    """

    def __init__(
        self,
        description: Description,
        base_url: str = "",
        *,
        probe_url: str | None = None,
        address: str = "IssuerUrl",
        clock: Clock = utc_now,
    ) -> None:
        self._description = description
        self._url = description.url.replace(BASE_URL, base_url.rstrip("/"))
        self._probe_url = probe_url
        self._address = address
        self._clock = clock

    def mint(self, credentials: Credentials, *, timeout: float) -> Minted:
        request = login_request(self._description, credentials)
        try:
            answer = exchange(
                self._description.method,
                self._url,
                headers=request.headers,
                body=request.body,
                timeout=timeout,
            )
        except Lost as lost:
            effect = "it may have minted" if lost.sent else "nothing was sent"
            raise VendorUnavailable(
                f"The vendor gave no whole answer ({lost.kind}); {effect}.",
                ambiguous=lost.sent and self._description.destructive,
            ) from lost
        return self.read(answer, credentials)

    def answers_to(self, token: Token, *, timeout: float) -> bool | None:
        secret = token.access_token()
        if self._probe_url is None or not (secret.isascii() and secret.isprintable()):
            return None
        headers = {"Authorization": f"Bearer {secret}"}
        try:
            answer = exchange("GET", self._probe_url, headers=headers, body=None, timeout=timeout)
        except Lost:
            return None
        if _named(self._description.dead_token, answer.status, self._reason(answer)):
            return False
        return True if 200 <= answer.status < 300 else None

    def read(self, answer: Answer, credentials: Credentials) -> Minted:
        """The token in this answer. Raises the error that the description names, else one that says that it may
        have minted.
        """
        fault = "answered an error"
        if 200 <= answer.status < 300:
            minted = _success(self._description, answer, self._clock())
            if isinstance(minted, Minted):
                return minted
            fault = minted
        raise self._error(answer, fault, credentials)

    def _error(self, answer: Answer, fault: str, credentials: Credentials) -> TokenVendingError:
        description, status, reason = self._description, answer.status, self._reason(answer)
        host = _redirect_host(answer, credentials) if 300 <= status < 400 else None
        because = _because(description, reason, credentials)
        if _named(description.refused, status, reason):
            return CredentialsRefused(
                f"The vendor does not know these credentials{because}. Store the right ones in the credentials "
                "secret, and the next run uses them."
            )
        if _named(description.not_taken_on, status, reason):
            return VendorUnavailable(
                f"The vendor answered status {status}{because}.", retry_after=answer.retry_after()
            )
        if _named(description.misconfigured, status, reason):
            return self._misconfigured(status, because, host)
        return self._unnamed(answer, fault, because, host)

    def _misconfigured(self, status: int, because: str, host: str | None) -> ConfigurationError:
        if host:
            return ConfigurationError(
                f"The vendor redirects to {host} (status {status}). Credentials go to the configured host only: "
                f"set {self._address} to the address that mints."
            )
        return ConfigurationError(
            f"The vendor refused the request with status {status}{because}. "
            f"Check {self._address} and that the service account may log in this way."
        )

    def _unnamed(self, answer: Answer, fault: str, because: str, host: str | None) -> MintError:
        may_be_dead = self._description.destructive
        if answer.status >= 500:
            return VendorUnavailable(
                f"The vendor answered status {answer.status}{because}.",
                ambiguous=may_be_dead,
                retry_after=answer.retry_after(),
            )
        if not 200 <= answer.status < 300:
            fault = f"redirects to {host}" if host else "answered what its description does not name"
            fault += f" (status {answer.status}){because}"
        return VendorProtocolError(f"The vendor {fault}; it may have minted.", ambiguous=may_be_dead)

    def _reason(self, answer: Answer) -> str | None:
        place = self._description.reason
        if place is None:
            return None
        try:
            reason = place.within(_json(answer.body))
        except (ValueError, RecursionError):
            if not self._description.reason_in_broken_json:
                return None
            name = re.escape(place.names[-1])
            found = re.search(rf'"{name}"\s*:\s*"({_WORD})"', answer.body.decode("utf-8", "replace"))
            reason = found[1] if found else None
        return reason if isinstance(reason, str) and re.fullmatch(_WORD, reason) else None


def _named(conditions: tuple[Condition, ...], status: int, reason: str | None) -> bool:
    return any(condition.names(status, reason) for condition in conditions)


def _success(description: Description, answer: Answer, now: datetime) -> Minted | str:
    """The token, or what is wrong with the answer."""
    if answer.too_long:
        return f"answered more than {MAX_BODY} bytes"
    try:
        fields = _json(answer.body)
    except (ValueError, RecursionError):
        fields = None
        if description.token.header is None:
            return "answered a success that is not JSON"
    token = _value(description.token, answer, fields)
    if not isinstance(token, str) or not token.strip():
        return "answered a success without a token in it"
    if not (token.isascii() and token.isprintable()):
        return "sent a token that no Authorization header can carry"
    stated = None if description.lifetime is None else _value(description.lifetime, answer, fields)
    lifetime = _lifetime(stated, description.unit, now)
    user_id = None if description.user_id is None else _value(description.user_id, answer, fields)
    warning = None
    if lifetime is None and description.lifetime is not None:
        where = description.lifetime.header or description.lifetime.names[-1]
        days = description.default_lifetime / timedelta(days=1)
        warning = f"The vendor sent no usable {where!r}; the documented lifetime of {days:g} days is assumed."
    return Minted(
        access_token=token,
        lifetime=lifetime or description.default_lifetime,
        user_id=user_id if isinstance(user_id, str) and len(user_id) <= _LONGEST_USER_ID else None,
        warning=warning,
    )


def _value(place: Place, answer: Answer, fields: Any) -> Any:  # noqa: ANN401 - whatever the vendor's JSON holds
    return place.within(fields) if place.header is None else answer.headers.get(place.header)


def _json(body: bytes) -> Any:  # noqa: ANN401 - whatever the vendor's JSON holds
    """Like json.loads, but a number of thousands of digits spoils only itself, not the token beside it."""
    return json.loads(body, parse_int=lambda digits: int(digits) if len(digits) <= _MOST_DIGITS else None)


def _lifetime(stated: Any, unit: str, now: datetime) -> timedelta | None:  # noqa: ANN401 - as above
    """From `now`; None for anything that is not a moment or a duration ahead of us, and within ten years."""
    try:
        if unit == "date":
            left = from_rfc3339(stated.strip()) - now
        else:
            left = _whole(stated) * _UNITS[unit]
            if unit.startswith("epoch_"):
                left -= timedelta(seconds=now.timestamp())
    except (ValueError, OverflowError, TypeError, AttributeError):
        return None
    return left if timedelta(0) < left <= LONGEST_LIFETIME else None


def _whole(number: Any) -> int:  # noqa: ANN401 - as above
    """A whole number or a string of one. Raises ValueError, TypeError."""
    if isinstance(number, str) and number.strip().isascii() and number.strip().isdigit():
        number = int(number) if len(number) < _MOST_DIGITS else -1
    if isinstance(number, bool) or not isinstance(number, int | float) or number != int(number):
        raise TypeError
    return int(number)


def _because(description: Description, reason: str | None, credentials: Credentials) -> str:
    basic = basic_authorization(description, credentials.fields).removeprefix("Basic ")
    if reason is None or credentials.appear_in(reason, sent_as=basic):
        return ""
    named = (*description.refused, *description.not_taken_on, *description.misconfigured)
    shown = _PLAIN_WORD.fullmatch(reason) or any(reason in condition.reasons for condition in named)
    return f" (reason: {reason})" if shown else ""


def _redirect_host(answer: Answer, credentials: Credentials) -> str:
    try:
        host = urlsplit(answer.headers.get("Location") or "").netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    return host if _HOST.fullmatch(host) and not credentials.appear_in(host) else "another address"
