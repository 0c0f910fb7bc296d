"""The door for callers that speak HTTP: the function URL or an HTTP API, signed with SigV4."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.exceptions
import botocore.session
import urllib3

from ._aws import AwsSession, configured_region, translated
from ._connections import CONNECT_SECONDS, is_idle
from ._errors import ConfigurationError, UnexpectedAnswer, VendingUnavailable
from ._origin import is_safe, origin_of
from ._wire import Answer, TokenRequest, parse_answer, problem

if TYPE_CHECKING:
    from collections.abc import Callable

# A token answer has a few hundred bytes. Whatever is behind the URL, no more than this of it is read.
LARGEST_ANSWER_BYTES = 64 * 1024


class HttpDoor:
    """Asks by ``GET /token`` and ``POST /token/rejections``.

    Args:
        url: the stack's output ``VendUrl``, or the stage URL of an HTTP API in front of the function. https,
            or http on loopback.
        call_timeout_seconds: how long one call may take to answer.
        session: whose credentials to sign with; by default the environment's.
        region: to sign for. By default it is read from AWS's own host names, and otherwise from the session.
        signing_service: ``lambda`` for a function URL, ``execute-api`` for an API Gateway. By default it is
            read from AWS's own host names, and otherwise ``lambda``.
        clock: seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913 - all but the first are by keyword
        self,
        url: str,
        *,
        call_timeout_seconds: float,
        session: AwsSession | None = None,
        region: str | None = None,
        signing_service: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = checked_url(url)
        self._session = session or botocore.session.get_session()
        service_of_host, region_of_host = signing_scope(urlsplit(self._url).hostname or "")
        self._service = signing_service or service_of_host or "lambda"
        signing_region = region or region_of_host or configured_region(self._session)
        if not signing_region:
            raise ConfigurationError(f"no region to sign for: {self._url} does not tell, and none is set")
        self._region = signing_region
        self._clock = clock
        self._used_at = clock()
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=call_timeout_seconds),
            # Both requests may be repeated, the report of a rejection too. A redirect is an answer: it is not
            # followed, because what is signed is meant for this host alone. Retry-After is the cache's
            # business: urllib3 would sleep through it without a deadline.
            retries=urllib3.Retry(
                total=1,
                redirect=False,
                status=False,
                allowed_methods=None,
                raise_on_redirect=False,
                respect_retry_after_header=False,
            ),
        )

    def fetch(self, request: TokenRequest) -> Answer:
        """See ``TokenSource``."""
        now = self._clock()
        if is_idle(self._used_at, now):
            self._pool.clear()
        if request.rejected_version is not None:
            method, target = "POST", f"{self._url}/token/rejections"
            body = json.dumps({"version": request.rejected_version}).encode()
        else:
            method, target, body = "GET", f"{self._url}/token", None
            if request.min_seconds is not None:
                target += f"?min_seconds={request.min_seconds}"
        headers = self._signed(method, target, body)
        try:
            response = self._pool.request(
                method,
                target,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
                enforce_content_length=True,  # the default only since urllib3 2
            )
            try:
                answer = _read(response)
            finally:
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise VendingUnavailable(f"{self._url} could not be reached: {type(error).__name__}") from error
        finally:
            self._used_at = self._clock()
        if response.status != HTTPStatus.OK:
            raise problem(response.status, answer, response.headers.get("Retry-After"))
        if len(answer) > LARGEST_ANSWER_BYTES:
            raise UnexpectedAnswer("the vending function's answer is far too long for a token")
        return parse_answer(answer)

    def _signed(self, method: str, target: str, body: bytes | None) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise ConfigurationError("there are no AWS credentials to sign the request with")
            request = botocore.awsrequest.AWSRequest(method=method, url=target, data=body, headers=headers)
            # Frozen: temporary credentials may be renewed between reading the key and reading the secret.
            signer = botocore.auth.SigV4Auth(
                credentials.get_frozen_credentials(), self._service, self._region
            )
            signer.add_auth(request)
        except botocore.exceptions.BotoCoreError as error:
            raise translated(error, self._url) from error
        return dict(request.headers.items())


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body, and at most one byte more of it than an answer may have.

    Read until nothing comes: only then does urllib3 say that an answer was cut short.
    """
    body = b""
    while len(body) <= LARGEST_ANSWER_BYTES:
        part = response.read(LARGEST_ANSWER_BYTES + 1 - len(body), decode_content=True)
        if not part:
            break
        body += part
    return body


def checked_url(url: str) -> str:
    """The URL without its trailing slash.

    Raises:
        ConfigurationError: it is no https URL (or http on loopback), or carries credentials, a query or a
            fragment.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError("the vending URL is not a URL") from error
    if not is_safe(origin_of(url)):
        raise ConfigurationError(
            "the vending URL must be https (or http on loopback): the answer holds a token"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError("the vending URL must be of the form https://host/path, and nothing more")
    return url.rstrip("/")


def signing_scope(host: str) -> tuple[str | None, str | None]:
    """Service and region to sign for, from AWS's own host names.

    ``<id>.lambda-url.<region>.on.aws`` (``.on.amazonwebservices.com.cn`` in China) and
    ``<id>.execute-api.<region>.amazonaws.com``.
    """
    labels = host.lower().split(".")
    match labels:
        case [_, "lambda-url", region, "on", *_]:
            return "lambda", region
        case [_, "execute-api", region, "amazonaws", *_]:
            return "execute-api", region
    return None, None
