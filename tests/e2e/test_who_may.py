"""Who may do what on the deployed template: for each allowed path a forbidden one."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.kit.stack import EmbeddedStack, User

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def allowed(minted: EmbeddedStack) -> User:
    return minted.create_user((minted.outputs["CallerPolicyArn"],))


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


def test_a_url_request_without_an_identity_is_refused_by_the_function_itself(
    minted: EmbeddedStack, allowed: User
) -> None:
    # The emulator checks the signature but tells the function nothing about the caller: as good as a stranger.
    status, body = minted.http("GET", "/token", allowed)
    assert status == 403
    assert json.loads(body)["error"] == "CallerNotAllowed"
