"""The environment is read strictly: what cannot be used is an error that names the variable."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from token_vending.errors import ConfigurationError
from token_vending.settings import DEFAULT_BASE_URL, RefreshSettings, VendSettings, stack_name

REFRESH = {"CREDENTIALS_SECRET_ID": "credentials", "TOKEN_SECRET_ID": "token"}
VEND = {"TOKEN_SECRET_ID": "token", "REFRESH_FUNCTION_NAME": "refresh:live"}


def refresh(**changes: str) -> RefreshSettings:
    return RefreshSettings.read(REFRESH | changes)


def vend(**changes: str) -> VendSettings:
    return VendSettings.read(VEND | changes)


def test_defaults_of_the_refresh_functions_settings() -> None:
    settings = refresh()
    assert settings.base_url == DEFAULT_BASE_URL
    assert settings.rules.renew_before == timedelta(days=30)
    assert settings.rules.max_age == timedelta(days=21)
    assert settings.rules.min_age == timedelta(seconds=60)
    assert (settings.standby_credentials_secret_id, settings.probe_url) == (None, None)


def test_defaults_of_the_vend_functions_settings() -> None:
    settings = vend()
    assert (settings.cache_for, settings.min_age) == (timedelta(seconds=300), timedelta(seconds=60))
    assert settings.allowed_callers.patterns == ()


def test_a_zero_is_a_value() -> None:
    assert refresh(RENEW_BEFORE_DAYS="0").rules.renew_before == timedelta(0)
    assert refresh(MIN_AGE_SECONDS="0").rules.min_age == timedelta(0)
    assert vend(CACHE_SECONDS="0").cache_for == timedelta(0)


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize(
    ("read", "needed", "name"),
    [
        *((RefreshSettings.read, REFRESH, name) for name in REFRESH),
        *((VendSettings.read, VEND, name) for name in VEND),
    ],
)
def test_a_variable_that_a_function_needs_and_lacks_is_named(
    read: Callable[[dict[str, str]], object], needed: dict[str, str], name: str, value: str | None
) -> None:
    others = {key: text for key, text in needed.items() if key != name}
    with pytest.raises(ConfigurationError, match=name):
        read(others if value is None else {**others, name: value})


@pytest.mark.parametrize("text", ["-", "-1", "1.5", "soon", "1e3", "٣", "9" * 10, "0x10"])
@pytest.mark.parametrize("name", ["RENEW_BEFORE_DAYS", "MAX_AGE_DAYS", "MIN_AGE_SECONDS"])
def test_a_number_that_is_none_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        refresh(**{name: text})


@pytest.mark.parametrize(
    "url",
    [
        "https://enterprise.personr.co/version-test/api/1.1/wf",
        "https://example.com:8443/x",
        "http://localhost:8080/x",
        "http://127.0.0.1:1/x",
        "http://127.8.9.10/x",
        "http://[::1]:9/x",
    ],
)
def test_a_vendor_address_that_is_allowed_is_taken(url: str) -> None:
    assert refresh(PERSONR_BASE_URL=url).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://enterprise.personr.co/api",
        "http://localhost.example.com/api",
        "http://127.0.0.1.example.com/api",
        "http://10.0.0.1/api",
        "http://0.0.0.0/api",
        "ftp://example.com/",
        "//example.com/api",
        "example.com",
        "https://",
        "https://user:hunter@example.com/api",
        "https://hunter@example.com/api",
        "https://example.com/api?x=1",
        "https://example.com/api#x",
        "https://example.com:0/api",
        "https://example.com:99999/api",
        "https://[::1/api",
        "not a url",
    ],
)
def test_an_address_that_credentials_must_not_go_to_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PERSONR_BASE_URL") as caught:
        refresh(PERSONR_BASE_URL=url)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "_SECRETS_MANAGER", "_LAMBDA", "_STS"])
@pytest.mark.parametrize(
    "address", ["http://10.0.0.7:4566", "http://aws.example.com", "ftp://127.0.0.1", "aws"]
)
def test_finding_9_neither_function_starts_with_an_aws_endpoint_in_clear(name: str, address: str) -> None:
    variable = f"AWS_ENDPOINT_URL{name}"
    for read in (refresh, vend):
        with pytest.raises(ConfigurationError, match=f"{variable} must be"):
            read(**{variable: address})


@pytest.mark.parametrize(
    "address", ["https://vpce-1.example.com", "http://127.0.0.1:4566", "http://[::1]:1", ""]
)
def test_an_aws_endpoint_is_https_or_on_loopback(address: str) -> None:
    refresh(AWS_ENDPOINT_URL=address)
    vend(AWS_ENDPOINT_URL=address)


def test_what_is_empty_counts_as_not_set() -> None:
    settings = refresh(PERSONR_BASE_URL="", STANDBY_CREDENTIALS_SECRET_ID="", PROBE_URL="")
    assert settings.base_url == DEFAULT_BASE_URL
    assert (settings.standby_credentials_secret_id, settings.probe_url) == (None, None)


def test_a_standby_account_and_a_probe_on_the_vendors_host_are_optional() -> None:
    url = "https://enterprise.personr.co/api/1.1/wf/whoami"
    settings = refresh(STANDBY_CREDENTIALS_SECRET_ID=" standby ", PROBE_URL=url)
    assert (settings.standby_credentials_secret_id, settings.probe_url) == ("standby", url)


@pytest.mark.parametrize("url", ["https://enterprise.personr.co.example.com/x", "https://example.com/whoami"])
def test_a_probe_elsewhere_would_give_the_token_away(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PROBE_URL"):
        refresh(PROBE_URL=url)


def test_callers_are_a_list_with_commas_and_a_mistake_in_it_lets_nobody_start() -> None:
    role, user = "arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223333:user/b"
    assert len(vend(ALLOWED_CALLERS=f" {role} , ,{user},").allowed_callers.patterns) == 2
    with pytest.raises(ConfigurationError, match="AllowedCallers"):
        vend(ALLOWED_CALLERS=f"{role},*")


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"STACK_NAME": "a", "AWS_LAMBDA_FUNCTION_NAME": "b"}, "a"),
        ({"AWS_LAMBDA_FUNCTION_NAME": "b"}, "b"),
        ({"STACK_NAME": "", "AWS_LAMBDA_FUNCTION_NAME": ""}, "token-vending"),
    ],
)
def test_metrics_are_told_apart_by_the_stacks_name(environment: dict[str, str], name: str) -> None:
    assert stack_name(environment) == name
