"""The description of an issuer is read strictly, and what it says is what is sent."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.kit.descriptions import BUILT_IN, FILES, documents
from token_vending import issuers
from token_vending.adapters.login_request import login_request
from token_vending.credentials import CredentialField, Credentials
from token_vending.errors import ConfigurationError
from token_vending.issuers import load, read
from token_vending.records import read_credentials
from token_vending.settings import RefreshSettings

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_FILE = ROOT / "docs/schemas/issuer.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())
LEAST: dict[str, Any] = {
    "request": {"url": "https://login.example.com/"},
    "answer": {"token": {"pointer": "/token"}, "default_lifetime_seconds": 3600},
    "refused": [],
}
ENVIRONMENT = {"CREDENTIALS_SECRET_ID": "credentials", "TOKEN_SECRET_ID": "token"}
OTHER_TEXTS = ("", "POST", "{a}", "{", "x\n", "/a\n", "401\n")
OTHER: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, 1.0, -1, 10**12, *OTHER_TEXTS, [], {}, [{}], {"pointer": "/a"}, ["5xx"], ["200"]]
)
MANY = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])


def accepts(document: object) -> bool:
    try:
        read(json.dumps(document), name="tried")
    except ConfigurationError:
        return False
    return True


def changed(**fields: Any) -> str:
    """The least description, with fields set by their path: `request__url="..."`."""
    document = json.loads(json.dumps(LEAST))
    for path, value in fields.items():
        *above, name = path.split("__")
        at = document
        for each in above:
            at = at.setdefault(each, {})
        at[name] = value
    return json.dumps(document)


# Reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_delivered_is_as_the_schema_says_and_fits_into_the_environment(file: Path) -> None:
    document = json.loads(file.read_text())
    Draft202012Validator(SCHEMA).validate(document)
    assert document["source"].startswith(("https://", "Personr"))
    assert len(json.dumps(document, separators=(",", ":"))) <= 2500


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for name, each in inner for path in paths(each, (*at, name)))]


@MANY
@given(st.data(), documents())
def test_the_reader_and_the_schema_accept_and_refuse_the_same(
    data: st.DataObject, document: dict[str, Any]
) -> None:
    assert accepts(document)
    *above, name = data.draw(st.sampled_from([path for path in paths(document) if path]))
    at: Any = document
    for each in above:
        at = at[each]
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "remove":
            del at[name]
        case "add" if isinstance(at, dict):
            at[data.draw(st.sampled_from(["unknown", "pointer", "header", "Host", "reason", "json"]))] = (
                data.draw(OTHER)
            )
        case _:
            at[name] = data.draw(OTHER)
    assert accepts(document) is Draft202012Validator(SCHEMA).is_valid(document)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "not valid JSON"),
        ('{"request": ' * 2000, "not valid JSON"),
        ("{}", "'request'"),
        (changed(request__url="http://login.example.com/"), "'request.url'"),
        (changed(request__url="https://login.example.com/{user}"), "'request.url'"),
        (changed(request__url="https://user:hunter2@login.example.com/"), "'request.url'"),
        (changed(request__url="https://login.example.com:99999/"), "'request.url'"),
        (changed(request__method="GET"), "'request.method'"),
        (changed(request__headers={"Host": "elsewhere.example.com"}), "'request.headers'"),
        (changed(request__headers={"X": "two\r\nlines"}), "'request.headers.X'"),
        (changed(request__body={"form": {}, "json": {}}), "'request.body'"),
        (changed(request__body={"form": {"a": "{A}"}}), "'request.body.form.a'"),
        (changed(answer__token={}), "'answer.token'"),
        (changed(answer__token={"pointer": "token"}), "'answer.token.pointer'"),
        (changed(answer__default_lifetime_seconds=0), "'answer.default_lifetime_seconds'"),
        (changed(answer__lifetime={"pointer": "/a", "unit": "weeks"}), "'answer.lifetime.unit'"),
        (changed(refused=[{"status": ["200"]}]), r"'refused\[0\]'"),
        (changed(refused=[{"status": ["500"], "reason": ["A1"]}]), r"'refused\[0\].status\[0\]'"),
        (changed(not_taken_on=[{"status": ["5xx"]}]), r"'not_taken_on\[0\].status\[0\]'"),
        (changed(idle_lifetime_days=1), "'idle_lifetime_days'"),
        (changed(destructive="no"), "'destructive'"),
        (changed(password="hunter2"), "'password'"),
        (changed(**{"hunter2 is a secret": 1}), "a name that is not repeated here"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused_by_its_field_and_never_shown(
    text: str, named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        read(text, name="tried")
    assert "hunter2" not in caught.value.detail


@pytest.mark.parametrize("name", ["no-such-issuer", "../personr", "Personr", "personr.json", "/etc/passwd"])
def test_an_issuer_that_is_not_built_in_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="ISSUER"):
        load(name)


def test_the_schema_of_the_docs_is_the_one_in_the_layer() -> None:
    assert SCHEMA_FILE.resolve() == Path(issuers.__file__).with_name("issuer.schema.json")


def test_the_page_of_issuers_names_every_description_and_its_example_can_be_used() -> None:
    page = (ROOT / "docs/issuers.md").read_text()
    assert all(f"| `{file.stem}`" in page or f"| [{file.name}]" in page for file in FILES)
    example = page.partition("```json")[2].partition("```")[0]
    assert read(example, name="the page's").token.names == ("data", "token")


# The request ---------------------------------------------------------------------------------------------


def request_of(name: str, **fields: str) -> tuple[dict[str, str], str]:
    description = BUILT_IN[name]
    secret = read_credentials("v", json.dumps(fields), wanted=description.fields)
    request = login_request(description, secret)
    assert repr(request) == f"LoginRequest({', '.join(request.headers)})"
    return request.headers, (request.body or b"").decode()


def test_oauth2_sends_form_encoded_basic_credentials() -> None:
    headers, body = request_of("oauth2-client-credentials", client_id="a:b", client_secret="c d+ä")
    # base64("a%3Ab:c+d%2B%C3%A4"), RFC 6749 section 2.3.1
    assert headers["authorization"] == "Basic YSUzQWI6YytkJTJCJUMzJUE0"
    assert parse_qsl(body) == [("grant_type", "client_credentials")]


def test_oauth2_sends_the_credentials_in_the_body_where_told_to() -> None:
    fields = {"client_id": "i", "client_secret": "s&", "scope": "read"}
    headers, body = request_of("oauth2-client-credentials-body", **fields)
    assert headers == {"content-type": "application/x-www-form-urlencoded"}
    assert dict(parse_qsl(body)) == {"grant_type": "client_credentials", **fields}


def test_a_json_body_is_nested_and_leaves_out_an_optional_field_that_the_secret_lacks() -> None:
    assert json.loads(request_of("thetvdb-v4", apikey="k")[1]) == {"apikey": "k"}
    assert json.loads(request_of("thetvdb-v4", apikey="k", pin="p")[1]) == {"apikey": "k", "pin": "p"}
    fields = {"username": "u", "password": 'p"{x}', "user_domain": "d", "project": "j", "project_domain": "e"}
    identity = json.loads(request_of("openstack-keystone-v3", **fields)[1])["auth"]["identity"]
    user = {"name": "u", "domain": {"name": "d"}, "password": 'p"{x}'}
    assert identity == {"methods": ["password"], "password": {"user": user}}


def test_a_header_of_the_description_wins_over_the_computed_one() -> None:
    description = read(
        changed(
            request__body={"json": {"key": "{key}"}},
            request__headers={"Content-Type": "application/vnd.api+json", "X-Key": "k {key}"},
        ),
        name="tried",
    )
    headers = login_request(description, Credentials("v", {"key": "1"})).headers
    assert headers == {"content-type": "application/vnd.api+json", "x-key": "k 1"}
    with pytest.raises(ConfigurationError, match="X-Key") as caught:
        login_request(description, Credentials("v", {"key": "schlüssel"}))
    assert "schlüssel" not in caught.value.detail


# The credentials -----------------------------------------------------------------------------------------


def test_the_fields_of_the_secret_are_those_that_the_description_names() -> None:
    assert BUILT_IN["personr"].fields == (
        CredentialField("email", also="username", no_colon=True),
        CredentialField("password"),
    )
    assert BUILT_IN["oauth2-client-credentials"].fields == (
        CredentialField("client_id"),
        CredentialField("client_secret"),
        CredentialField("scope", optional=True),
        CredentialField("audience", optional=True),
    )


def test_a_missing_field_is_named_with_the_command_that_sets_it() -> None:
    wanted = BUILT_IN["oauth2-client-credentials"].fields
    with pytest.raises(ConfigurationError, match="'client_secret' is missing") as caught:
        read_credentials("v", '{"client_id": "hunter2"}', wanted=wanted)
    assert '{"client_id": "...", "client_secret": "..."}' in caught.value.detail
    assert "hunter2" not in caught.value.detail


# The settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issuer", "max_age_days", "max_age"),
    [
        ("personr", "", timedelta(days=21)),
        ("personr", "0", None),
        ("oauth2-client-credentials", "", None),
        ("oauth2-client-credentials", "5", timedelta(days=5)),
        (changed(idle_lifetime_days=2), "", timedelta(days=1)),
    ],
)
def test_the_age_bound_follows_the_idle_lifetime_unless_the_operator_says_otherwise(
    issuer: str, max_age_days: str, max_age: timedelta | None
) -> None:
    url = "https://login.example.com" if issuer.startswith("oauth2") else ""
    given = {"ISSUER": issuer, "ISSUER_URL": url, "MAX_AGE_DAYS": max_age_days}
    assert RefreshSettings.read(ENVIRONMENT | given).rules.max_age == max_age


def test_other_credentials_never_go_to_personrs_address() -> None:
    with pytest.raises(ConfigurationError, match="ISSUER_URL"):
        RefreshSettings.read(
            ENVIRONMENT | {"ISSUER": "oauth2-client-credentials", "PERSONR_BASE_URL": "https://x.example.com"}
        )


def test_an_address_that_nothing_would_use_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ISSUER_URL"):
        RefreshSettings.read(ENVIRONMENT | {"ISSUER": changed(), "ISSUER_URL": "https://x.example.com"})
