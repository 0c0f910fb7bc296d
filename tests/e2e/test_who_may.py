"""Who may do what on the deployed template. Strangers, and who does not sign: test_smoke.py, by test_first_day.py."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.kit.stack import EmbeddedStack, User

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def allowed(minted: EmbeddedStack) -> User:
    return minted.create_user("CallerPolicyArn")


@pytest.fixture(scope="module")
def over_http(minted: EmbeddedStack) -> User:
    return minted.create_user("UrlCallerPolicyArn")


VEND, REFRESH = "VendFunctionName", "RefreshFunctionName"


@pytest.mark.parametrize(
    ("who", "output", "qualifier"),
    [
        ("allowed", REFRESH, ":live"),
        ("allowed", VEND, ""),
        ("allowed", VEND, ":url"),
        ("over_http", VEND, ":live"),
        ("over_http", VEND, ":url"),
    ],
)
def test_a_user_without_this_grant_may_not_invoke(
    minted: EmbeddedStack, request: pytest.FixtureRequest, who: str, output: str, qualifier: str
) -> None:
    session = request.getfixturevalue(who).session
    with pytest.raises(ClientError, match="AccessDeniedException"):
        minted.client("lambda", session).invoke(FunctionName=minted.outputs[output] + qualifier)


def test_a_caller_without_a_grant_is_told_what_is_missing(minted: EmbeddedStack) -> None:
    with minted.caller(minted.create_user()) as caller:
        answer = caller.ask("get")
    assert answer["error"] == "CallerNotAllowed"
    assert "caller policy" in answer["detail"]


@pytest.mark.parametrize("secret", ["TokenSecretArn", "CredentialsSecretArn"])
def test_the_caller_policy_opens_no_secret(minted: EmbeddedStack, allowed: User, secret: str) -> None:
    with pytest.raises(ClientError, match="AccessDeniedException"):
        minted.client("secretsmanager", allowed.session).get_secret_value(SecretId=minted.outputs[secret])


def test_the_url_refuses_a_user_with_the_direct_caller_policy(minted: EmbeddedStack, allowed: User) -> None:
    status, body = minted.http("GET", "/token", allowed)
    assert status == 403
    assert b"access_token" not in body


def test_the_client_gets_the_token_over_http(minted: EmbeddedStack, over_http: User) -> None:
    with minted.caller(over_http, over_http=True) as caller:
        assert caller.ask("get")["version"] == minted.current_version()


def test_a_user_that_is_not_listed_is_refused_by_the_function_itself(minted: EmbeddedStack) -> None:
    unlisted = minted.create_user("UrlCallerPolicyArn", name="unlisted")
    status, body = minted.http("GET", "/token", unlisted)
    assert status == 403
    assert json.loads(body)["error"] == "CallerNotAllowed"
