"""The environment, read once and strictly. A setting that cannot be used is a ConfigurationError naming it."""

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, urlsplit

from token_vending.callers import AllowedCallers
from token_vending.errors import ConfigurationError

if TYPE_CHECKING:
    from token_vending.due import Rules
    from token_vending.issuers import Description

_MOST_DIGITS = 9
DEFAULT_BASE_URL = "https://enterprise.personr.co/api/1.1/wf"

REFRESH_VARIABLES = (
    "CREDENTIALS_SECRET_ID",
    "TOKEN_SECRET_ID",
    "ISSUER",
    "ISSUER_URL",
    "PERSONR_BASE_URL",
    "RENEW_BEFORE_DAYS",
    "MAX_AGE_DAYS",
    "MIN_AGE_SECONDS",
    "STANDBY_CREDENTIALS_SECRET_ID",
    "PROBE_URL",
    "EVENT_BUS_NAME",
    "STACK_NAME",
)
VEND_VARIABLES = (
    "TOKEN_SECRET_ID",
    "CACHE_SECONDS",
    "MIN_AGE_SECONDS",
    "PROBE_URL",
    "ALLOWED_CALLERS",
    "REFRESH_FUNCTION_NAME",
    "STACK_NAME",
)


class RefreshSettings(NamedTuple):
    """What the refresh function is told."""

    credentials_secret_id: str
    token_secret_id: str
    issuer: "Description"
    base_url: str
    """What {base_url} of the issuer's description stands for."""
    address: str
    """How an operator calls the setting that holds the address."""
    rules: "Rules"
    standby_credentials_secret_id: str | None
    probe_url: str | None
    event_bus_name: str | None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "RefreshSettings":
        """Raises ConfigurationError naming the variable and what it must be."""
        from token_vending.due import Rules  # noqa: PLC0415 - the hand-out starts faster without
        from token_vending.issuers import BASE_URL, load  # noqa: PLC0415 - the same

        _check_endpoints(environment)
        issuer = load(environment.get("ISSUER", "").strip() or "personr")
        base_url, address = base_url_of(environment, issuer)
        probe_url = _url(environment, "PROBE_URL", "") or None
        mint_url = issuer.url.replace(BASE_URL, base_url)
        if probe_url is not None and urlsplit(probe_url).hostname != urlsplit(mint_url).hostname:
            # The probe sends the token: to the vendor, not to an address somebody mistyped.
            raise ConfigurationError(f"PROBE_URL must be on the same host as {address}.")
        issuers_age = issuer.max_age.days if issuer.max_age else 0
        max_age_days = _whole_number(environment, "MAX_AGE_DAYS", issuers_age, empty=issuers_age)
        return cls(
            credentials_secret_id=_required(environment, "CREDENTIALS_SECRET_ID"),
            token_secret_id=_required(environment, "TOKEN_SECRET_ID"),
            issuer=issuer,
            base_url=base_url,
            address=address,
            rules=Rules(
                renew_before=timedelta(days=_whole_number(environment, "RENEW_BEFORE_DAYS", 30)),
                max_age=timedelta(days=max_age_days) if max_age_days else None,
                min_age=timedelta(seconds=_whole_number(environment, "MIN_AGE_SECONDS", 60)),
            ),
            standby_credentials_secret_id=environment.get("STANDBY_CREDENTIALS_SECRET_ID", "").strip()
            or None,
            probe_url=probe_url,
            event_bus_name=environment.get("EVENT_BUS_NAME", "").strip() or None,
        )


class VendSettings(NamedTuple):
    """What the vend function is told."""

    token_secret_id: str
    refresh_function_name: str
    cache_for: timedelta
    min_age: timedelta
    probed: bool
    allowed_callers: AllowedCallers
    read_ahead: bool = False
    """Whether to fetch the token while starting: yes for a start that a waiting request has caused.

    An instance that is made in advance would fetch a token hours before anybody asks for it, and one that becomes
    a snapshot would carry it on to disk (AWS_LAMBDA_INITIALIZATION_TYPE).
    """

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "VendSettings":
        """Raises ConfigurationError naming the variable and what it must be."""
        _check_endpoints(environment)
        patterns = [part.strip() for part in environment.get("ALLOWED_CALLERS", "").split(",")]
        return cls(
            token_secret_id=_required(environment, "TOKEN_SECRET_ID"),
            refresh_function_name=_required(environment, "REFRESH_FUNCTION_NAME"),
            cache_for=timedelta(seconds=_whole_number(environment, "CACHE_SECONDS", 300)),
            min_age=timedelta(seconds=_whole_number(environment, "MIN_AGE_SECONDS", 60)),
            probed=bool(environment.get("PROBE_URL", "").strip()),
            allowed_callers=AllowedCallers.parse(pattern for pattern in patterns if pattern),
            # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
            read_ahead=environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "on-demand",
        )


def stack_name(environment: Mapping[str, str]) -> str:
    """The value of the metrics' one dimension."""
    return environment.get("STACK_NAME") or environment.get("AWS_LAMBDA_FUNCTION_NAME") or "token-vending"


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"Environment variable {name} is not set.")
    return value


def _whole_number(
    environment: Mapping[str, str], name: str, default: int, *, empty: int | None = None
) -> int:
    text = environment.get(name)
    if text is None:
        return default
    text = text.strip()
    if not text and empty is not None:
        return empty
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ConfigurationError(f"Environment variable {name} must be a whole number, 0 or more.")
    return int(text)


def _check_endpoints(environment: Mapping[str, str]) -> None:
    """The SDK's own variables: what is sent there are the credentials, the token and signatures."""
    for name in environment:
        if name.startswith("AWS_ENDPOINT_URL"):
            _url(environment, name, "")


def base_url_of(environment: Mapping[str, str], issuer: "Description") -> tuple[str, str]:
    """What {base_url} stands for, and the parameter that says it."""
    from token_vending.issuers import BASE_URL, PERSONR  # noqa: PLC0415 - the hand-out starts faster without

    base_url = _url(environment, "ISSUER_URL", "")
    if BASE_URL not in issuer.url:
        if base_url:
            raise ConfigurationError(
                "ISSUER_URL must be empty: the issuer's description names a whole address."
            )
        return "", "the address in the issuer's description"
    if not base_url and issuer.name == PERSONR:
        return _url(environment, "PERSONR_BASE_URL", DEFAULT_BASE_URL), "PersonrBaseUrl"
    if not base_url:
        # Never Personr's address, which PERSONR_BASE_URL has by default: other credentials would go there.
        raise ConfigurationError(
            "Environment variable ISSUER_URL is not set: this issuer has no address of its own."
        )
    return base_url, "IssuerUrl"


def _url(environment: Mapping[str, str], name: str, default: str) -> str:
    text = environment.get(name, default).strip()
    if not text:
        return default
    try:
        parts = urlsplit(text)
        usable = parts.port != 0  # A port out of range raises.
    except ValueError:
        raise ConfigurationError(f"Environment variable {name} is not a URL.") from None
    if not usable or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            f"Environment variable {name} must be https://host/path, with nothing else in it."
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts)):
        raise ConfigurationError(
            f"Environment variable {name} must be an https address: secrets go there. "
            "Plain http is for loopback only."
        )
    return text


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
