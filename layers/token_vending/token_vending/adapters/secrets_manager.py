"""The two secrets in AWS Secrets Manager, through botocore's client or one of the same form.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/Welcome.html has a page for each operation.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from token_vending.adapters.aws_errors import answered_without, no_answer, refused
from token_vending.credentials import EMAIL_AND_PASSWORD, CredentialField, Credentials, account_of
from token_vending.errors import ConfigurationError, StoreUnavailable
from token_vending.ports import CURRENT, INTENT, LOCK, AlreadyAnnounced, LabelHeld
from token_vending.records import no_credentials, read_credentials, read_record, write_intent, write_token
from token_vending.token import Intent, Token

_ABSENT = "ResourceNotFoundException"
"""No such secret, version or label."""
_EXISTS = "ResourceExistsException"
"""The ClientRequestToken was used for another content, or so the service says."""
_CONFLICTS = ("InvalidParameterException", "InvalidRequestException")
"""As a rule, the label lies elsewhere."""


class _Exists(Exception):
    pass


class _Conflict(Exception):
    pass


class SecretsManagerStore:
    """The token secret as `ports.TokenStore`."""

    def __init__(self, client: Any, secret_id: str) -> None:  # noqa: ANN401 - botocore makes its clients at run time
        self._client = client
        self._secret_id = secret_id
        self._call = partial(_call, secret_id)

    def read_version(self, version: str) -> Token | Intent | None:
        answer = self._get(version)
        return read_record(answer["VersionId"], answer.get("SecretString"))

    def labels(self) -> Mapping[str, str]:
        answer = self._call("DescribeSecret", self._client.describe_secret, {_ABSENT: self._gone()})
        # A secret without any version has no such field.
        stages_of = answer.get("VersionIdsToStages", {})
        return {stage: version for version, stages in stages_of.items() for stage in stages}

    def versions_kept(self, younger_than: datetime) -> int:
        kept = 0
        page: dict[str, object] = {}
        gone = {_ABSENT: StoreUnavailable("The versions of the token secret cannot be counted.")}
        while True:
            answer = self._call(
                "ListSecretVersionIds",
                self._client.list_secret_version_ids,
                gone,
                IncludeDeprecated=True,
                MaxResults=100,
                **page,
            )
            for version in answer.get("Versions", []):
                created = version.get("CreatedDate")
                kept += bool(version.get("VersionStages")) or created is None or created > younger_than
            if not answer.get("NextToken"):
                return kept
            page = {"NextToken": answer["NextToken"]}

    def put_intent(self, intent: Intent) -> None:
        content = write_intent(intent)
        try:
            self._put(intent.version, content, [INTENT, LOCK])
        except _Exists:
            stored = self._get(intent.version)
            if stored.get("SecretString") == content:
                return  # Ours, by an attempt whose answer was lost.
            raise AlreadyAnnounced(read_record(intent.version, stored.get("SecretString"))) from None

    def put_token(self, token: Token) -> None:
        content = write_token(token)
        try:
            self._put(token.version, content, [CURRENT])
        except _Exists:
            self._confirm(token.version, content)

    def move_label(self, label: str, *, to: str, expected_on: str | None) -> None:
        # Without RemoveFromVersionId the call fails while another version holds the label.
        remove = {"RemoveFromVersionId": expected_on} if expected_on not in (None, to) else {}
        self._update_stage(label, wanted_on=to, MoveToVersionId=to, **remove)

    def remove_label(self, label: str, *, expected_on: str) -> None:
        self._update_stage(label, wanted_on=None, RemoveFromVersionId=expected_on)

    def _get(self, version: str) -> dict[str, Any]:
        """A version that somebody has told us of, so it exists: where it is not found, this read lags behind."""
        lags = StoreUnavailable("A version of the token secret cannot be read yet.", retry_after=5)
        return _get(self._client, self._secret_id, {_ABSENT: lags}, VersionId=version)

    def _put(self, version: str, content: str, stages: list[str]) -> None:
        """The version id is the ClientRequestToken: a repetition changes nothing, another text raises _Exists."""
        self._call(
            "PutSecretValue",
            self._client.put_secret_value,
            {_ABSENT: self._gone(), _EXISTS: _Exists()},
            ClientRequestToken=version,
            SecretString=content,
            VersionStages=stages,
        )

    def _confirm(self, version: str, content: str) -> None:
        stored = self._get(version)
        if stored.get("SecretString") != content:
            raise StoreUnavailable(f"Version {version} of the token secret exists with another content.")
        if CURRENT not in stored.get("VersionStages", []):
            try:
                self.move_label(CURRENT, to=version, expected_on=self.labels().get(CURRENT))
            except LabelHeld:
                raise StoreUnavailable(
                    f"Label {CURRENT} of the token secret moved while it was being set."
                ) from None

    def _update_stage(self, label: str, *, wanted_on: str | None, **change: str) -> None:
        gone = StoreUnavailable(f"UpdateSecretVersionStage: {_ABSENT}: the secret or the version is gone.")
        try:
            self._call(
                "UpdateSecretVersionStage",
                self._client.update_secret_version_stage,
                {_ABSENT: gone, **dict.fromkeys(_CONFLICTS, _Conflict())},
                VersionStage=label,
                **change,
            )
        except _Conflict:
            # Either the label lies elsewhere, or an attempt whose answer got lost had done it already. The
            # message would tell, the place where the label lies tells for certain.
            if self.labels().get(label) != wanted_on:
                raise LabelHeld(label) from None

    def _gone(self) -> ConfigurationError:
        return ConfigurationError(
            f"The token secret {self._secret_id} does not exist: check TOKEN_SECRET_ID, deploy the stack, or restore "
            "the secret."
        )


class SecretsManagerCredentials:
    """One account's credentials secret as `ports.CredentialsSource`. `account` is empty for the primary one."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - botocore's, or one of the same form
        secret_id: str,
        *,
        account: str = "",
        wanted: Sequence[CredentialField] = EMAIL_AND_PASSWORD,
    ) -> None:
        self._client = client
        self._secret_id = secret_id
        self._account = account
        self._wanted = wanted

    def owns(self, credentials_version: str) -> bool:
        return account_of(credentials_version) == self._account

    def read(self) -> Credentials:
        never_set = no_credentials(self._secret_id, self._wanted)
        answer = _get(self._client, self._secret_id, {_ABSENT: never_set}, VersionStage=CURRENT)
        content = answer.get("SecretString")
        if content == "":
            raise never_set
        return read_credentials(answer["VersionId"], content, account=self._account, wanted=self._wanted)


def _get(client: Any, secret_id: str, instead: Mapping[str, Exception], **which: str) -> dict[str, Any]:  # noqa: ANN401
    answer = _call(secret_id, "GetSecretValue", client.get_secret_value, instead, **which)
    if not isinstance(answer.get("VersionId"), str):
        raise answered_without("GetSecretValue", "VersionId")
    return answer


def _call(
    secret_id: str,
    operation: str,
    method: Callable[..., dict[str, Any]],
    instead: Mapping[str, Exception],
    **arguments: object,
) -> dict[str, Any]:
    """The answer. `instead` holds what is raised for error codes that mean something here."""
    try:
        answer = method(SecretId=secret_id, **arguments)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in instead:
            raise instead[code] from None
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise refused(operation, secret_id, code, status) from error
    except (BotoCoreError, AttributeError, TypeError, ValueError) as error:
        # The last three are what the SDK makes of a success that is another JSON than an object.
        raise no_answer(operation, type(error).__name__) from error
    if "ARN" not in answer:
        # All of these operations promise it. The SDK takes a page of HTML with status 200 for a success without fields.
        raise answered_without(operation, "ARN")
    return answer
