"""The two secrets in AWS Secrets Manager, through botocore's client or one of the same form.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/Welcome.html
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from token_vending.adapters.aws_errors import answered_without, no_answer, refused
from token_vending.credentials import EMAIL_AND_PASSWORD, CredentialField, Credentials, account_of
from token_vending.errors import ConfigurationError, StoreUnavailable
from token_vending.ports import CURRENT, INTENT, LOCK, AlreadyAnnounced, LabelHeld
from token_vending.records import no_credentials, read_credentials, read_record, write_intent, write_token
from token_vending.token import Intent, Token


class _Absent(Exception):
    """ResourceNotFoundException: no such secret, version or label."""


class _Exists(Exception):
    """ResourceExistsException: the ClientRequestToken was used for another content, or so the service says."""


class _Conflict(Exception):
    """InvalidParameterException or InvalidRequestException: as a rule, the label lies elsewhere."""

    def __init__(self, cause: ClientError, translated: StoreUnavailable) -> None:
        super().__init__()
        self.cause = cause
        self.translated = translated


class SecretsManagerStore:
    """The token secret as `ports.TokenStore`."""

    def __init__(self, client: Any, secret_id: str) -> None:  # noqa: ANN401 - botocore makes its clients at run time
        self._client = client
        self._secret_id = secret_id

    def read_version(self, version: str) -> Token | Intent | None:
        try:
            answer = _get(self._call, self._client, VersionId=version)
        except _Absent:
            # Somebody has told us of it, so it exists: this read lags behind.
            raise StoreUnavailable(
                "A version of the token secret cannot be read yet.", retry_after=5
            ) from None
        except _Conflict as conflict:
            raise conflict.translated from conflict.cause
        return read_record(*answer)

    def labels(self) -> Mapping[str, str]:
        """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html"""
        try:
            answer = self._call("DescribeSecret", self._client.describe_secret)
        except _Absent:
            raise ConfigurationError(
                f"The token secret {self._secret_id} does not exist: check TOKEN_SECRET_ID, or deploy the stack."
            ) from None
        except _Conflict as conflict:
            raise conflict.translated from conflict.cause
        # A secret without any version has no such field.
        stages_of = answer.get("VersionIdsToStages", {})
        return {stage: version for version, stages in stages_of.items() for stage in stages}

    def versions_kept(self, younger_than: datetime) -> int:
        """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecretVersionIds.html"""
        kept = 0
        page: dict[str, object] = {}
        while True:
            try:
                answer = self._call(
                    "ListSecretVersionIds",
                    self._client.list_secret_version_ids,
                    IncludeDeprecated=True,
                    MaxResults=100,
                    **page,
                )
            except (_Absent, _Conflict) as error:
                raise StoreUnavailable("The versions of the token secret cannot be counted.") from error
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
            stored = self._stored(intent.version)
            if stored.get("SecretString") == content:
                return  # Ours, by an attempt whose answer was lost.
            raise AlreadyAnnounced(read_record(intent.version, stored.get("SecretString"))) from None

    def put_token(self, token: Token) -> None:
        content = write_token(token)
        try:
            self._put(token.version, content, [CURRENT])
        except _Exists:
            self._confirm(token.version, content, CURRENT)

    def move_label(self, label: str, *, to: str, expected_on: str | None) -> None:
        """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html

        Without RemoveFromVersionId the call fails while another version holds the label.
        """
        remove = {"RemoveFromVersionId": expected_on} if expected_on not in (None, to) else {}
        self._update_stage(label, wanted_on=to, MoveToVersionId=to, **remove)

    def remove_label(self, label: str, *, expected_on: str) -> None:
        self._update_stage(label, wanted_on=None, RemoveFromVersionId=expected_on)

    def _put(self, version: str, content: str, stages: list[str]) -> None:
        """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html

        The version id is the ClientRequestToken: a repetition changes nothing, another text raises _Exists.
        """
        try:
            self._call(
                "PutSecretValue",
                self._client.put_secret_value,
                ClientRequestToken=version,
                SecretString=content,
                VersionStages=stages,
            )
        except _Absent:
            raise ConfigurationError(
                f"The token secret {self._secret_id} does not exist: check TOKEN_SECRET_ID, or restore the secret."
            ) from None
        except _Conflict as conflict:
            raise conflict.translated from conflict.cause

    def _stored(self, version: str) -> dict[str, Any]:
        """What a version holds that is said to exist: ours from an answer that got lost, or not ours."""
        try:
            return self._call("GetSecretValue", self._client.get_secret_value, VersionId=version)
        except _Absent:
            raise StoreUnavailable(
                "PutSecretValue says that the version exists, GetSecretValue that it does not."
            ) from None
        except _Conflict as conflict:
            raise conflict.translated from conflict.cause

    def _confirm(self, version: str, content: str, stage: str) -> None:
        answer = self._stored(version)
        if answer.get("SecretString") != content:
            raise StoreUnavailable(f"Version {version} of the token secret exists with another content.")
        if stage not in answer.get("VersionStages", []):
            holder = self.labels().get(stage)
            try:
                self.move_label(stage, to=version, expected_on=holder)
            except LabelHeld:
                raise StoreUnavailable(
                    f"Label {stage} of the token secret moved while it was being set."
                ) from None

    def _update_stage(self, label: str, *, wanted_on: str | None, **change: str) -> None:
        try:
            self._call(
                "UpdateSecretVersionStage",
                self._client.update_secret_version_stage,
                VersionStage=label,
                **change,
            )
        except _Absent as absent:
            raise StoreUnavailable(
                "UpdateSecretVersionStage: ResourceNotFoundException: the secret or the version is gone."
            ) from absent
        except _Conflict:
            # Either the label lies elsewhere, or an attempt whose answer got lost had done it already. The
            # message would tell, the place where the label lies tells for certain.
            if self.labels().get(label) != wanted_on:
                raise LabelHeld(label) from None

    def _call(
        self, operation: str, method: Callable[..., dict[str, Any]], **arguments: object
    ) -> dict[str, Any]:
        return _call(operation, method, self._secret_id, **arguments)


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
        try:
            version, content = _get(self._call, self._client, VersionStage=CURRENT)
        except _Absent:
            raise no_credentials(self._secret_id, self._wanted) from None
        except _Conflict as conflict:
            raise conflict.translated from conflict.cause
        if content == "":
            raise no_credentials(self._secret_id, self._wanted)
        return read_credentials(version, content, account=self._account, wanted=self._wanted)

    def _call(
        self, operation: str, method: Callable[..., dict[str, Any]], **arguments: object
    ) -> dict[str, Any]:
        return _call(operation, method, self._secret_id, **arguments)


def _get(call: Callable[..., dict[str, Any]], client: Any, **which: str) -> tuple[str, str | None]:  # noqa: ANN401
    """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html"""
    answer = call("GetSecretValue", client.get_secret_value, **which)
    version = answer.get("VersionId")
    if not isinstance(version, str):
        raise answered_without("GetSecretValue", "VersionId")
    return version, answer.get("SecretString")


def _call(
    operation: str, method: Callable[..., dict[str, Any]], secret_id: str, **arguments: object
) -> dict[str, Any]:
    try:
        answer = method(SecretId=secret_id, **arguments)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ResourceNotFoundException":
            raise _Absent from None
        if code == "ResourceExistsException":
            raise _Exists from None
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        translated = refused(operation, secret_id, code, status)
        if code in ("InvalidParameterException", "InvalidRequestException"):
            raise _Conflict(error, translated) from None
        raise translated from error
    except (BotoCoreError, AttributeError, TypeError, ValueError) as error:
        # The last three are what the SDK makes of a success that is another JSON than an object.
        raise no_answer(operation, type(error).__name__) from error
    if "ARN" not in answer:
        # All of these operations promise it. The SDK takes a page of HTML with status 200 for a success without fields.
        raise answered_without(operation, "ARN")
    return answer
