"""The request that a description makes of the credentials."""

import base64
import json
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote_plus, urlencode

from urllib3.filepost import encode_multipart_formdata

from token_vending.credentials import Credentials
from token_vending.errors import ConfigurationError
from token_vending.issuers import Description, fill, fill_json


class LoginRequest(NamedTuple):
    """Header names are in lower case. It holds the credentials and does not show them."""

    headers: dict[str, str]
    body: bytes | None

    def __repr__(self) -> str:
        return f"LoginRequest({', '.join(self.headers)})"


def login_request(description: Description, credentials: Credentials) -> LoginRequest:
    """Raises ConfigurationError for credentials that no header can carry."""
    kind, content = description.body
    filled = fill_json(content, credentials.fields)
    headers: dict[str, str] = {}
    body: bytes | None = None
    if kind == "form":
        body = urlencode(filled).encode("ascii")
        headers["content-type"] = "application/x-www-form-urlencoded"
    elif kind == "multipart":
        body, headers["content-type"] = encode_multipart_formdata(filled)
    elif kind == "json":
        body, headers["content-type"] = json.dumps(filled).encode("ascii"), "application/json"
    basic = basic_authorization(description, credentials.fields)
    if basic:
        headers["authorization"] = basic
    for name, value in fill_json(description.headers, credentials.fields).items():
        if not value.isascii():
            raise ConfigurationError(
                f"The credentials do not fit into the header {name!r} of the issuer's description: it holds ASCII only."
            )
        headers[name.lower()] = value
    return LoginRequest(headers, body)


def basic_authorization(description: Description, fields: Mapping[str, str]) -> str:
    """The value of the Authorization header by RFC 7617 in UTF-8, or by RFC 6749 §2.3.1; empty for none."""
    if description.basic is None:
        return ""
    pair = [fill(description.basic.user, fields) or "", fill(description.basic.password, fields) or ""]
    if description.basic.form_encoded:
        pair = [quote_plus(each) for each in pair]
    return "Basic " + base64.b64encode(":".join(pair).encode()).decode("ascii")
