"""Who may do what on the deployed template: for each allowed path a forbidden one."""

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


@pytest.fixture(scope="module")
def stranger(minted: EmbeddedStack) -> User:
    return minted.create_user()


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_a_user_with_the_caller_policy_gets_the_token(minted: EmbeddedStack, allowed: User) -> None:
    assert minted.vend(session=allowed.session).payload["token_type"] == "Bearer"


def test_a_user_without_a_grant_is_refused(minted: EmbeddedStack, stranger: User) -> None:
    with pytest.raises(ClientError) as refused:
        minted.vend(session=stranger.session)
    assert code_of(refused) == "AccessDeniedException"


def test_a_caller_without_a_grant_is_told_what_is_missing(minted: EmbeddedStack, stranger: User) -> None:
    with minted.caller(stranger) as caller:
        answer = caller.ask("get")
    assert answer["error"] == "CallerNotAllowed"
    assert "caller policy" in answer["detail"]


def test_the_caller_policy_allows_no_mint(minted: EmbeddedStack, allowed: User) -> None:
    with pytest.raises(ClientError) as refused:
        minted.client("lambda", allowed.session).invoke(
            FunctionName=f"{minted.outputs['RefreshFunctionName']}:live", Payload=json.dumps({"force": True})
        )
    assert code_of(refused) == "AccessDeniedException"


def test_the_caller_policy_covers_the_alias_only(minted: EmbeddedStack, allowed: User) -> None:
    with pytest.raises(ClientError) as refused:
        minted.client("lambda", allowed.session).invoke(FunctionName=minted.outputs["VendFunctionName"])
    assert code_of(refused) == "AccessDeniedException"


@pytest.mark.parametrize("secret", ["TokenSecretArn", "CredentialsSecretArn"])
def test_the_caller_policy_opens_no_secret(minted: EmbeddedStack, allowed: User, secret: str) -> None:
    with pytest.raises(ClientError) as refused:
        minted.client("secretsmanager", allowed.session).get_secret_value(SecretId=minted.outputs[secret])
    assert code_of(refused) == "AccessDeniedException"


def test_the_url_refuses_an_unsigned_request(minted: EmbeddedStack) -> None:
    status, body = minted.http("GET", "/token")
    assert status == 403
    assert b"access_token" not in body


def test_the_url_refuses_a_user_without_a_grant(minted: EmbeddedStack, stranger: User) -> None:
    status, body = minted.http("GET", "/token", stranger)
    assert status == 403
    assert b"access_token" not in body


def test_a_listed_user_with_the_url_caller_policy_gets_the_token_over_http(
    minted: EmbeddedStack, over_http: User
) -> None:
    status, body = minted.http("GET", "/token", over_http)
    assert status == 200
    assert json.loads(body)["version"] == minted.current_version()


def test_the_client_gets_the_token_over_http(minted: EmbeddedStack, over_http: User) -> None:
    with minted.caller(over_http, over_http=True) as caller:
        assert caller.ask("get")["version"] == minted.current_version()


def test_a_user_that_is_not_listed_is_refused_by_the_function_itself(minted: EmbeddedStack) -> None:
    unlisted = minted.create_user("UrlCallerPolicyArn", name="unlisted")
    status, body = minted.http("GET", "/token", unlisted)
    assert status == 403
    assert json.loads(body)["error"] == "CallerNotAllowed"


@pytest.mark.parametrize("alias", ["live", "url"])
def test_the_url_caller_policy_allows_no_direct_invoke(
    minted: EmbeddedStack, over_http: User, alias: str
) -> None:
    with pytest.raises(ClientError) as refused:
        minted.client("lambda", over_http.session).invoke(
            FunctionName=f"{minted.outputs['VendFunctionName']}:{alias}"
        )
    assert code_of(refused) == "AccessDeniedException"


def test_the_caller_policy_does_not_open_the_url(minted: EmbeddedStack, allowed: User) -> None:
    status, body = minted.http("GET", "/token", allowed)
    assert status == 403
    assert b"access_token" not in body
