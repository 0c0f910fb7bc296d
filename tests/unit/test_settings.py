"""The environment is read strictly: what cannot be used is an error that names the variable."""

from datetime import timedelta

import pytest

from token_vending.errors import ConfigurationError
from token_vending.settings import DEFAULT_BASE_URL, RefreshSettings, VendSettings, stack_name

REFRESH = {"CREDENTIALS_SECRET_ID": "credentials", "TOKEN_SECRET_ID": "token"}
VEND = {"TOKEN_SECRET_ID": "token", "REFRESH_FUNCTION_NAME": "refresh:live"}


def test_defaults_of_the_refresh_functions_settings() -> None:
    settings = RefreshSettings.read(REFRESH)
    assert settings.base_url == DEFAULT_BASE_URL
    assert settings.rules.renew_before == timedelta(days=30)
    assert settings.rules.max_age == timedelta(days=21)
    assert settings.rules.min_age == timedelta(seconds=60)
    assert (settings.standby_credentials_secret_id, settings.probe_url) == (None, None)


def test_defaults_of_the_vend_functions_settings() -> None:
    settings = VendSettings.read(VEND)
    assert (settings.cache_for, settings.min_age) == (timedelta(seconds=300), timedelta(seconds=60))
    assert settings.allowed_callers.patterns == ()


def test_a_zero_is_a_value() -> None:
    zeros = dict.fromkeys(("RENEW_BEFORE_DAYS", "MIN_AGE_SECONDS", "CACHE_SECONDS"), "0")
    assert RefreshSettings.read(REFRESH | zeros).rules.renew_before == timedelta(0)
    assert RefreshSettings.read(REFRESH | zeros).rules.min_age == timedelta(0)
    assert VendSettings.read(VEND | zeros).cache_for == timedelta(0)


def test_a_max_age_of_zero_turns_the_age_bound_off() -> None:
    assert RefreshSettings.read(REFRESH | {"MAX_AGE_DAYS": "0"}).rules.max_age is None


@pytest.mark.parametrize("name", REFRESH)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_the_refresh_function_needs_its_secrets(name: str, value: str | None) -> None:
    environment = {key: text for key, text in (REFRESH | {name: value}).items() if text is not None}
    with pytest.raises(ConfigurationError, match=name):
        RefreshSettings.read(environment)


@pytest.mark.parametrize("name", VEND)
def test_the_vend_function_needs_its_names(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        VendSettings.read({key: value for key, value in VEND.items() if key != name})


@pytest.mark.parametrize("text", ["-", "-1", "1.5", "soon", "1e3", "٣", "9" * 10, "0x10"])
@pytest.mark.parametrize("name", ["RENEW_BEFORE_DAYS", "MAX_AGE_DAYS", "MIN_AGE_SECONDS"])
def test_a_number_that_is_none_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RefreshSettings.read(REFRESH | {name: text})


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
    assert RefreshSettings.read(REFRESH | {"PERSONR_BASE_URL": url}).base_url == url


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
def test_an_address_that_credentials_must_not_go_to(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PERSONR_BASE_URL") as caught:
        RefreshSettings.read(REFRESH | {"PERSONR_BASE_URL": url})
    assert "hunter" not in str(caught.value)


def test_an_empty_address_is_the_default() -> None:
    assert RefreshSettings.read(REFRESH | {"PERSONR_BASE_URL": ""}).base_url == DEFAULT_BASE_URL


def test_a_probe_on_the_vendors_host() -> None:
    url = "https://enterprise.personr.co/api/1.1/wf/whoami"
    assert RefreshSettings.read(REFRESH | {"PROBE_URL": url}).probe_url == url


@pytest.mark.parametrize("url", ["https://enterprise.personr.co.example.com/x", "https://example.com/whoami"])
def test_a_probe_elsewhere_would_give_the_token_away(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PROBE_URL"):
        RefreshSettings.read(REFRESH | {"PROBE_URL": url})


def test_a_standby_account_is_optional() -> None:
    settings = RefreshSettings.read(REFRESH | {"STANDBY_CREDENTIALS_SECRET_ID": " standby "})
    assert settings.standby_credentials_secret_id == "standby"
    assert (
        RefreshSettings.read(REFRESH | {"STANDBY_CREDENTIALS_SECRET_ID": ""}).standby_credentials_secret_id
        is None
    )


def test_callers_are_a_list_with_commas() -> None:
    text = " arn:aws:iam::111122223333:role/a , ,arn:aws:iam::111122223333:user/b,"
    assert len(VendSettings.read(VEND | {"ALLOWED_CALLERS": text}).allowed_callers.patterns) == 2


def test_a_list_with_a_mistake_in_it_lets_nobody_start() -> None:
    with pytest.raises(ConfigurationError, match="AllowedCallers"):
        VendSettings.read(VEND | {"ALLOWED_CALLERS": "arn:aws:iam::111122223333:role/a,*"})


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


@pytest.mark.parametrize(
    "variable",
    [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        "AWS_ENDPOINT_URL_LAMBDA",
        "AWS_ENDPOINT_URL_STS",
    ],
)
@pytest.mark.parametrize(
    "address", ["http://10.0.0.7:4566", "http://aws.example.com", "ftp://127.0.0.1", "aws"]
)
def test_finding_9_neither_function_starts_with_an_aws_endpoint_in_clear(variable: str, address: str) -> None:
    for read, environment in ((RefreshSettings.read, REFRESH), (VendSettings.read, VEND)):
        with pytest.raises(ConfigurationError, match=f"{variable} must be"):
            read(environment | {variable: address})


@pytest.mark.parametrize(
    "address", ["https://vpce-1.example.com", "http://127.0.0.1:4566", "http://[::1]:1", ""]
)
def test_an_aws_endpoint_is_https_or_on_loopback(address: str) -> None:
    RefreshSettings.read(REFRESH | {"AWS_ENDPOINT_URL": address})
    VendSettings.read(VEND | {"AWS_ENDPOINT_URL": address})
