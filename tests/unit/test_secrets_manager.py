"""The store's adapter where Secrets Manager fails: which errors come out, and what an answer that got lost means."""

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.simulation.secrets_manager import client_error
from tests.unit.made_up import NOW, SECOND, SECRET, VERSION, intent, token
from token_vending.adapters.secrets_manager import SecretsManagerCredentials, SecretsManagerStore
from token_vending.errors import StoreUnavailable
from token_vending.ports import AlreadyAnnounced
from token_vending.records import write_intent, write_token

type Answer = dict[str, Any] | Exception
USES: dict[str, Callable[[SecretsManagerStore], object]] = {
    "GetSecretValue": lambda store: store.read_version(VERSION),
    "DescribeSecret": lambda store: store.labels(),
    "PutSecretValue": lambda store: store.put_token(token()),
    "ListSecretVersionIds": lambda store: store.versions_kept(NOW),
    "UpdateSecretVersionStage": lambda store: store.move_label("MINTING", to="mine", expected_on=None),
}


class Script:
    """A client that answers each operation what it is told to, one answer a call."""

    def __init__(self, **answers: list[Answer]) -> None:
        self._answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        def call(**arguments: Any) -> dict[str, Any]:
            self.calls.append((operation, arguments))
            answer = self._answers[operation].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return {"ARN": "the-secret's", **answer}

        return call


def store(**answers: Any) -> tuple[SecretsManagerStore, Script]:
    script = Script(**answers)
    return SecretsManagerStore(script, "the-secret"), script


def snake(operation: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in operation)[1:]


EXISTS = client_error("PutSecretValue", "ResourceExistsException")
ABSENT = client_error("GetSecretValue", "ResourceNotFoundException")
CONFLICT = client_error("UpdateSecretVersionStage", "InvalidParameterException")


@pytest.mark.parametrize("operation", USES)
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (client_error("x", "AccessDeniedException"), "AccessDeniedException"),
        (client_error("x", "ThrottlingException"), "ThrottlingException"),
        (client_error("x", "InternalServiceError", 500), "InternalServiceError"),
        (client_error("x", "DecryptionFailure"), "DecryptionFailure"),
        (client_error("x", "", 503), "HTTP status 503"),
        (client_error("x", "<b>odd</b> code\n"), "boddbcode"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1"), "EndpointConnectionError"),
    ],
)
def test_every_failure_is_one_error_that_names_operation_and_cause(
    operation: str, error: Exception, told: str
) -> None:
    subject, _ = store(**{snake(operation): [error]})
    with pytest.raises(StoreUnavailable) as caught:
        USES[operation](subject)
    assert operation in caught.value.detail
    assert told in caught.value.detail
    assert caught.value.retryable
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def read_credentials(script: Script) -> object:
    return SecretsManagerCredentials(script, "the-credentials").read()


@pytest.mark.parametrize(
    ("operation", "use"),
    [
        *((name, USES[name]) for name in ("GetSecretValue", "DescribeSecret", "PutSecretValue")),
        ("GetSecretValue", lambda store: read_credentials(store._client)),
    ],
)
def test_a_secret_scheduled_for_deletion_is_told_with_its_mend(
    operation: str, use: Callable[[SecretsManagerStore], object]
) -> None:
    subject, _ = store(**{snake(operation): [client_error(operation, "InvalidRequestException")]})
    with pytest.raises(StoreUnavailable, match="restore-secret"):
        use(subject)


def test_an_answer_without_a_version_is_none() -> None:
    subject, _ = store(get_secret_value=[{"SecretString": "{}"}])
    with pytest.raises(StoreUnavailable, match="without VersionId"):
        subject.read_version(VERSION)


def test_an_answer_without_an_arn_is_none_of_secrets_managers() -> None:
    subject = SecretsManagerStore(type("Odd", (), {"describe_secret": lambda *_, **__: {}})(), "the-secret")
    with pytest.raises(StoreUnavailable, match="without ARN"):
        subject.labels()


def test_a_binary_secret_is_no_token() -> None:
    subject, _ = store(get_secret_value=[{"VersionId": VERSION, "SecretBinary": b"x"}])
    with pytest.raises(Exception, match=r"not valid JSON|not a JSON object"):
        subject.read_version(VERSION)


def test_versions_are_counted_page_by_page_unless_they_can_be_removed() -> None:
    old, young = NOW - SECOND, NOW + SECOND
    pages = [
        {
            "Versions": [{"CreatedDate": old, "VersionStages": ["A"]}, {"CreatedDate": old}],
            "NextToken": "more",
        },
        {"Versions": [{"CreatedDate": young, "VersionStages": []}, {"VersionStages": []}]},
    ]
    subject, script = store(list_secret_version_ids=pages)
    assert subject.versions_kept(NOW) == 3
    assert script.calls[-1][1]["NextToken"] == "more"
    assert script.calls[0][1]["IncludeDeprecated"] is True


def test_versions_of_a_secret_that_is_gone_cannot_be_counted() -> None:
    subject, _ = store(list_secret_version_ids=[ABSENT])
    with pytest.raises(StoreUnavailable, match="cannot be counted"):
        subject.versions_kept(NOW)


# A version that is said to exist --------------------------------------------------------------------------


def existing(content: str, *stages: str, **answers: Any) -> tuple[SecretsManagerStore, Script]:
    """The store where the version that is written exists, with that content and under these labels."""
    held = {"VersionId": VERSION, "SecretString": content, "VersionStages": list(stages)}
    return store(put_secret_value=[EXISTS], get_secret_value=[held], **answers)


def lying_on(*versions: str) -> list[Answer]:
    return [{"VersionIdsToStages": {version: ["AWSCURRENT"]}} for version in versions]


def test_a_version_that_exists_already_is_ours_if_it_reads_as_ours() -> None:
    subject, script = existing(write_token(token()), "AWSCURRENT")
    subject.put_token(token())
    assert script.calls[-1] == ("get_secret_value", {"SecretId": "the-secret", "VersionId": VERSION})


def test_an_intent_whose_answer_was_lost_is_ours_by_its_text_and_another_ones_is_refused() -> None:
    existing(write_intent(intent()))[0].put_intent(intent())
    with pytest.raises(AlreadyAnnounced):
        existing(write_intent(intent(attempt="of another")))[0].put_intent(intent())


def test_a_version_that_exists_already_gets_the_label_that_it_lacks() -> None:
    subject, script = existing(
        write_token(token()), describe_secret=lying_on("before"), update_secret_version_stage=[{}]
    )
    subject.put_token(token())
    name, arguments = script.calls[-1]
    assert name == "update_secret_version_stage"
    assert arguments == {
        "SecretId": "the-secret",
        "VersionStage": "AWSCURRENT",
        "MoveToVersionId": VERSION,
        "RemoveFromVersionId": "before",
    }


def test_a_label_that_moves_meanwhile_is_not_fought_for() -> None:
    subject, _ = existing(
        write_token(token()), describe_secret=lying_on("a", "b"), update_secret_version_stage=[CONFLICT]
    )
    with pytest.raises(StoreUnavailable, match="moved"):
        subject.put_token(token())


@pytest.mark.parametrize("error", [ABSENT, client_error("GetSecretValue", "InvalidRequestException")])
def test_a_version_that_cannot_be_read_back_is_unknown(error: ClientError) -> None:
    subject, _ = store(put_secret_value=[EXISTS], get_secret_value=[error])
    with pytest.raises(StoreUnavailable):
        subject.put_intent(intent())


# A label that is said to lie elsewhere --------------------------------------------------------------------


def test_where_a_label_lies_may_stay_unknown() -> None:
    denied = client_error("DescribeSecret", "AccessDeniedException")
    subject, _ = store(update_secret_version_stage=[CONFLICT], describe_secret=[denied])
    with pytest.raises(StoreUnavailable, match="DescribeSecret"):
        subject.move_label("MINTING", to="mine", expected_on=None)


def test_a_version_that_is_gone_cannot_hold_a_label() -> None:
    gone = client_error("UpdateSecretVersionStage", "ResourceNotFoundException")
    subject, _ = store(update_secret_version_stage=[gone])
    with pytest.raises(StoreUnavailable, match="gone"):
        subject.remove_label("MINTING", expected_on="mine")
