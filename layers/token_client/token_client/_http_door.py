"""The door for callers that speak HTTP: the function URL or an HTTP API, signed with SigV4."""

import json
import os
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.exceptions
import botocore.httpsession
import botocore.utils
import urllib3

from ._attempt import check_destination
from ._aws import CONNECT_SECONDS, AwsSession, configured, configured_region, shared, translated
from ._errors import ConfigurationError, UnexpectedAnswer
from ._process import USER_AGENT, Time, is_idle
from ._token import HiddenBytes
from ._wire import Answer, TokenRequest, parse_answer, problem

# A token answer has a few hundred bytes. Whatever is behind the URL, no more than this of it is read.
LARGEST_ANSWER_BYTES = 64 * 1024


class HttpDoor:
    """Asks by ``GET /token`` and ``POST /token/rejections`` of the stack's output ``VendUrl``, or of the stage URL of
    an HTTP API in front of the function. What to sign for is read from AWS's own host names, unless it is said.
    """

    def __init__(  # noqa: PLR0913 - all but the first are by keyword
        self,
        url: str,
        *,
        call_timeout_seconds: float,
        session: AwsSession | None = None,
        region: str | None = None,
        signing_service: str | None = None,
        time: Time | None = None,
    ) -> None:
        self._url = checked_url(url)
        self._session: Any = session or shared.session()
        service_of_host, region_of_host = signing_scope(urlsplit(self._url).hostname or "")
        self._service = signing_service or service_of_host or "lambda"
        self._region = region or region_of_host or configured_region(self._session) or ""
        if not self._region:
            raise ConfigurationError(f"no region to sign for: {self._url} does not tell, and none is set")
        self._wall = (time or Time()).wall
        self._used_at = self._wall()
        self._last: tuple[Answer, float] | None = None
        bundle = configured(self._session, "ca_bundle")  # AWS_CA_BUNDLE, or the profile's
        try:
            # The SDK's own HTTP client, so that a proxy or an authority that works for the SDK works here.
            options: Any = {"verify": bundle or os.environ.get("REQUESTS_CA_BUNDLE") or True}
            options["proxies"] = botocore.utils.get_environ_proxies(self._url)
            options["timeout"] = CONNECT_SECONDS, call_timeout_seconds
            self._http = botocore.httpsession.URLLib3Session(**options)
        except botocore.exceptions.BotoCoreError as error:
            raise translated(error, self._url) from None

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._http.close()

    def fetch(self, request: TokenRequest) -> Answer:
        """See ``TokenSource``. While its last answer is still good, the door asks only whether there is another."""
        now = self._wall()
        if is_idle(self._used_at, now):
            self._http.close()
        known = self._still_good(now) if request.rejected_version is None else None
        status, retry_after, body = self._sent(self._signed(request, known))
        if status == HTTPStatus.NOT_MODIFIED and known is not None:
            return known
        if status != HTTPStatus.OK:
            raise problem(status, body, retry_after)
        if len(body) > LARGEST_ANSWER_BYTES:
            raise UnexpectedAnswer("the vending function's answer is far too long for a token")
        self._last = parse_answer(body), now
        return self._last[0]

    def _still_good(self, now: float) -> Answer | None:
        if self._last is None:
            return None
        answer, asked_at = self._last
        left = answer.expires_in - max(0.0, now - asked_at)
        return replace(answer, expires_in=left) if left > 0 else None

    def _sent(self, signed: botocore.awsrequest.AWSPreparedRequest) -> tuple[int, str | None, HiddenBytes]:
        """Status, Retry-After and body of the answer.

        Both requests may be repeated, the report of a rejection too: once, at once, when the connection broke. A
        redirect is an answer: it is not followed, because what is signed is meant for this host alone.
        """
        is_last = False
        while True:
            try:
                response = self._http.send(signed)
                return response.status_code, response.headers.get("Retry-After"), _read(response.raw)
            except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError) as error:
                said = translated(error, self._url)
                if is_last or not said.retryable:
                    raise said from None
                is_last = True
            finally:
                self._used_at = self._wall()

    def _signed(self, asked: TokenRequest, known: Answer | None) -> botocore.awsrequest.AWSPreparedRequest:
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        method, target, body = "GET", f"{self._url}/token", None
        if asked.rejected_version is not None:
            method, target = "POST", f"{self._url}/token/rejections"
            body = json.dumps({"version": asked.rejected_version}).encode()
            headers["Content-Type"] = "application/json"
        elif asked.min_seconds is not None:
            target += f"?min_seconds={asked.min_seconds}"
        if known is not None:
            headers["If-None-Match"] = f'"{known.token.version}"'
        request = botocore.awsrequest.AWSRequest(
            method=method, url=target, data=body, headers=headers, stream_output=True
        )
        try:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise ConfigurationError("there are no AWS credentials to sign the request with")
            # Frozen: temporary credentials may be renewed between reading the key and reading the secret.
            frozen = credentials.get_frozen_credentials()
            botocore.auth.SigV4Auth(frozen, self._service, self._region).add_auth(request)
        except botocore.exceptions.BotoCoreError as error:
            raise translated(error, self._url) from None
        return request.prepare()


def _read(response: urllib3.BaseHTTPResponse) -> HiddenBytes:
    """The body, and at most one byte more of it than an answer may have. (Read until nothing comes: only then does
    urllib3 say that an answer was cut short.)
    """
    response.enforce_content_length = True  # type: ignore[attr-defined]
    body = HiddenBytes()
    try:
        while len(body) <= LARGEST_ANSWER_BYTES:
            part = response.read(LARGEST_ANSWER_BYTES + 1 - len(body), decode_content=True)
            if not part:
                break
            body = HiddenBytes(body + part)
    finally:
        response.release_conn()
    return body


def checked_url(url: str) -> str:
    """The URL without its trailing slash. Raises ConfigurationError: it is no https URL (or http on loopback), or has
    credentials, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError("the vending URL is not a URL") from error
    check_destination(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError("the vending URL must be of the form https://host/path, and nothing more")
    return url.rstrip("/")


def signing_scope(host: str) -> tuple[str | None, str | None]:
    """Service and region to sign for, from AWS's own host names."""
    match host.lower().split("."):
        case [_, "lambda-url", region, "on", *_]:  # .aws, in China .amazonwebservices.com.cn
            return "lambda", region
        case [_, "execute-api", region, "amazonaws", *_]:
            return "execute-api", region
    return None, None
