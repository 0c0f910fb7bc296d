"""The door for callers with AWS credentials inside AWS: a direct invoke of the vending function."""

import json
from http import HTTPStatus
from typing import Any

import botocore.config
import botocore.exceptions

from ._aws import CONNECT_SECONDS, AwsSession, configured_region, shared, translated
from ._errors import CallerNotAllowed, ConfigurationError, TokenClientError, VendingUnavailable
from ._process import USER_AGENT, Time, is_idle
from ._token import HiddenBytes
from ._wire import Answer, TokenRequest, function_error, parse_answer

# The stack publishes the function under this alias, and the caller policy allows no other way to it.
ALIAS = "live"

# arn:partition:lambda:region:account:function:name
_ARN_PARTS = 7

_THROTTLED = {
    "TooManyRequestsException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "EC2ThrottledException",
}
_DENIED = {"AccessDeniedException", "AccessDenied"}
_BAD_CREDENTIALS = {"UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"}
_BAD_CREDENTIALS |= {"InvalidClientTokenId", "MissingAuthenticationTokenException", "IncompleteSignature"}


class DirectInvoke:
    """Asks by ``lambda:InvokeFunction``, by name, partial ARN or ARN. Without a qualifier the alias ``live`` is meant.
    The region is an ARN's, otherwise the session's.
    """

    def __init__(
        self,
        function_name: str,
        *,
        call_timeout_seconds: float,
        session: AwsSession | None = None,
        time: Time | None = None,
    ) -> None:
        self._function_name = qualified(function_name)
        self._wall = (time or Time()).wall
        self._used_at = self._wall()
        try:
            with shared.lock:
                chosen: Any = session or shared.session()
                # boto3 and botocore name the same method differently.
                create = getattr(chosen, "create_client", None) or chosen.client
                self._client = create(
                    "lambda",
                    region_name=_region_of(function_name) or configured_region(chosen),
                    config=botocore.config.Config(
                        connect_timeout=CONNECT_SECONDS,
                        read_timeout=call_timeout_seconds,
                        # One more try at once for a connection that broke; the cache does the waiting.
                        retries={"total_max_attempts": 2, "mode": "standard"},
                        tcp_keepalive=True,
                        user_agent_extra=USER_AGENT,
                    ),
                )
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"no Lambda client could be made: {error}") from error

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._client.close()

    def fetch(self, request: TokenRequest) -> Answer:
        """See ``TokenSource``."""
        if is_idle(self._used_at, self._wall()):
            self._client.close()
        try:
            response = self._client.invoke(
                FunctionName=self._function_name,
                InvocationType="RequestResponse",
                Payload=json.dumps(request.payload()).encode(),
            )
            payload = HiddenBytes(response["Payload"].read())
        except botocore.exceptions.ClientError as error:
            raise self._refusal(error) from None
        except botocore.exceptions.BotoCoreError as error:
            raise translated(error, self._function_name) from None
        finally:
            self._used_at = self._wall()
        if response.get("FunctionError"):
            raise function_error(payload)
        return parse_answer(payload)

    def _refusal(self, error: botocore.exceptions.ClientError) -> TokenClientError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _DENIED:
            return CallerNotAllowed(
                f"this caller may not invoke {self._function_name}: attach the stack's caller policy to its"
                " role, and in another account have the stack list that account in CallerAccountIds"
            )
        kind: type[TokenClientError] = ConfigurationError
        if (
            code in _THROTTLED
            or status == HTTPStatus.TOO_MANY_REQUESTS
            or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            kind, said = VendingUnavailable, f"Lambda answered {code or status}"
        elif code in _BAD_CREDENTIALS:
            said = f"AWS does not accept this caller's credentials ({code})"
        elif code == "ResourceNotFoundException":
            said = f"there is no function {self._function_name}"
        else:
            said = f"Lambda refused the call ({code or status})"
        return kind(said, remote_error=code or None)


def qualified(function_name: str) -> str:
    """With the alias ``live`` unless there is a qualifier; of a name, ``account:function:name`` or an ARN."""
    parts = function_name.split(":")
    shortest = parts.index("function") + 2 if "function" in parts[:-1] else 1
    without_qualifier = _ARN_PARTS if parts[0] == "arn" else shortest
    return function_name if len(parts) > without_qualifier else f"{function_name}:{ALIAS}"


def _region_of(function_name: str) -> str | None:
    parts = function_name.split(":")
    return (parts[3] or None) if parts[0] == "arn" and len(parts) >= _ARN_PARTS else None
