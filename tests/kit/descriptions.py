"""Descriptions of issuers: those that come with the product, its examples, and any that may be drawn."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from token_vending.issuers import Description, read

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    [
        *(ROOT / "layers/token_vending/token_vending/descriptions").glob("*.json"),
        *(ROOT / "examples/issuers").glob("*.json"),
    ]
)
BUILT_IN: dict[str, Description] = {file.stem: read(file.read_text(), name=file.stem) for file in FILES}

# Drawn from a few: any more cost much time and find nothing else.
names = st.sampled_from(["a", "email", "client_id", "key_2_of"])
templates = st.builds(
    lambda before, name: f"{before}{{{name}}}", st.sampled_from(["", "key ", "a=b&", "ü"]), names
)
headers = st.sampled_from(["X-a", "X-Api-Key", "X-9-"])
words = st.sampled_from(["Ab", "BAD_LOGIN", "x9_y", "INVALID_LOGIN_CREDENTIALS"])
statuses = st.sampled_from(["3xx", "4xx", "400", "401", "403", "404", "408", "429", "501", "503", "302"])
conditions = st.lists(
    st.fixed_dictionaries({"status": st.lists(statuses, min_size=1, max_size=3)})
    | st.fixed_dictionaries(
        {
            "status": st.lists(statuses | st.sampled_from(["2xx", "200", "202"]), min_size=1, max_size=3),
            "reason": st.lists(words, min_size=1, max_size=3),
        }
    ),
    max_size=3,
)
json_bodies = st.recursive(
    templates | st.none() | st.booleans() | st.integers(-5, 5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
bodies = (
    st.fixed_dictionaries({"json": st.dictionaries(st.text(max_size=8), json_bodies, max_size=4)})
    | st.fixed_dictionaries({"form": st.dictionaries(names, templates, max_size=4)})
    | st.fixed_dictionaries({"multipart": st.dictionaries(names, templates, max_size=4)})
)


requests = st.fixed_dictionaries(
    {"url": st.sampled_from(["{base_url}/login", "{base_url}", "https://login.example.com/a/b"])},
    optional={
        "method": st.sampled_from(["POST", "PUT"]),
        "basic": st.fixed_dictionaries(
            {"user": templates, "password": templates}, optional={"form_encoded": st.booleans()}
        ),
        "headers": st.dictionaries(headers, names.map(lambda name: f"Key {{{name}}}"), max_size=3),
        "body": bodies,
    },
)
units = st.sampled_from(
    [*("seconds", "milliseconds", "minutes", "hours", "days", "date"), "epoch_seconds", "epoch_milliseconds"]
)
lifetimes = st.integers(60, 316_224_000)
further = st.fixed_dictionaries(
    {"refused": conditions},
    optional={
        "misconfigured": conditions,
        "not_taken_on": conditions,
        "dead_token": conditions,
        "destructive": st.booleans(),
        "idle_lifetime_days": st.integers(2, 3660),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A description that may be given, as JSON. Token, lifetime, user id and reason lie apart from each other."""
    above = "/data~1x" if draw(st.booleans()) else ""
    answer: dict[str, Any] = {
        "token": {"pointer": f"{above}/token"} if draw(st.booleans()) else {"header": "X-Token"},
        "default_lifetime_seconds": draw(lifetimes),
    }
    if draw(st.booleans()):
        answer["lifetime"] = {"pointer": f"{above}/expiry", "unit": draw(units)}
    if draw(st.booleans()):
        answer["user_id"] = {"pointer": f"{above}/user"}
    if draw(st.booleans()):
        answer["reason"] = {"pointer": "/why"}
    return {"request": draw(requests), "answer": answer, **draw(further)}


descriptions = st.sampled_from(list(BUILT_IN.values())) | documents().map(
    lambda document: read(json.dumps(document), name="drawn")
)
