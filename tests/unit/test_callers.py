"""The list of who may ask over HTTP: ARN patterns that never fail open."""

import re
from typing import SupportsIndex, override

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_vending.callers import AllowedCallers, _segment_matches
from token_vending.errors import ConfigurationError

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/"
USER = f"arn:aws:iam::{ACCOUNT}:user/"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/"


def allow(pattern: str, arn: str | None) -> bool:
    return AllowedCallers.parse([pattern]).allow(arn)


ALLOWED = [
    (ROLE + "billing", ROLE + "billing"),
    (ROLE + "billing", SESSION + "billing/i-0123456789"),
    (ROLE + "billing", SESSION + "billing/someone@example.com"),
    (ROLE + "billing-*", SESSION + "billing-prod/x"),
    (ROLE + "billing-*", SESSION + "billing-/x"),
    (ROLE + "*-prod", SESSION + "billing-prod/x"),
    (ROLE + "b*g*d", SESSION + "billing-prod/x"),
    (ROLE + "*", SESSION + "anything/x"),
    # A session's ARN does not show the role's path; a role's name is unique whatever its path.
    (ROLE + "teams/billing/reader", SESSION + "reader/x"),
    (ROLE + "teams/*/reader", SESSION + "reader/x"),
    (ROLE + "teams/*/reader", ROLE + "teams/billing/reader"),
    (ROLE + "teams/billing/*", ROLE + "teams/billing/reader"),
    (USER + "ci", USER + "ci"),
    (USER + "ops/*", USER + "ops/anna"),
    (ROLE + "*", ROLE + "x" * 64),
    (USER + "*/anna", USER + "x" * 510 + "/anna"),
    (f"arn:aws-cn:iam::{ACCOUNT}:role/a", f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/a/x"),
    (f"arn:aws-eusc:iam::{ACCOUNT}:role/a", f"arn:aws-eusc:sts::{ACCOUNT}:assumed-role/a/x"),
    (f"arn:aws-iso-b:iam::{ACCOUNT}:role/a", f"arn:aws-iso-b:sts::{ACCOUNT}:assumed-role/a/x"),
    (f"arn:aws-us-gov:iam::{ACCOUNT}:role/a", f"arn:aws-us-gov:sts::{ACCOUNT}:assumed-role/a/x"),
    (ROLE + "a+b=c,d.e@f-g_h", SESSION + "a+b=c,d.e@f-g_h/x"),
]

DENIED: dict[str, list[str | None]] = {
    # Look-alikes; a session's name, which is the caller's own choice; another account, partition or kind
    ROLE + "billing": [
        *(SESSION + name for name in ("billing2/x", "xbilling/x", "Billing/x", "billin/x", "other/billing")),
        SESSION + f"x/{ROLE}billing",
        ROLE + "billing/billing",
        f"arn:aws:sts::{ACCOUNT}0:assumed-role/billing/x",
        "arn:aws:sts::999999999999:assumed-role/billing/x",
        f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/billing/x",
        USER + "billing",
        *(ROLE + name for name in ("billing\n", "billing\x00", "b\N{LATIN SMALL LETTER DOTLESS I}lling")),
        " " + ROLE + "billing",
        f"arn:aws:iam::{ACCOUNT}:role//billing",
    ],
    ROLE + "a.b": [SESSION + "aXb/x"],
    ROLE + "billing-*": [SESSION + "billing/x"],
    ROLE + "*-prod": [SESSION + "other/billing-prod"],
    USER + "billing": [SESSION + "billing/x"],
    # A star stays within its segment; longer than IAM lets a name or a path be; nobody; no principal
    ROLE + "*": [
        ROLE + "teams/billing",
        ROLE + "x" * 65,
        SESSION + "x" * 65 + "/x",
        SESSION + "billing/" + "x" * 65,
        "arn:aws:sts::999999999999:assumed-role/billing/x",
        *(None, "", ROLE, ROLE + "*", f"arn:aws:iam::{ACCOUNT}:root"),
        f"arn:aws:sts::{ACCOUNT}:federated-user/anna",
        *(SESSION + name for name in ("billing", "billing/x/y", "/x")),
        "arn:aws:iam::" + "\N{ARABIC-INDIC DIGIT ONE}" * 12 + ":role/billing",
    ],
    USER + "*": [ROLE + "billing", USER + "ops/anna"],
    USER + "*/anna": [USER + "x" * 511 + "/anna"],
    # What a session's ARN cannot show is not allowed
    ROLE + "teams/*": [ROLE + "teams/billing/reader", ROLE + "teams", SESSION + "reader/x"],
    ROLE + "teams/read*": [SESSION + "reader/x"],
    USER + "ops/*": [USER + "ops/"],
    USER + "*/*": [USER + "ops/"],
}


@pytest.mark.parametrize(("pattern", "arn"), ALLOWED)
def test_who_is_listed_may_ask(pattern: str, arn: str) -> None:
    assert allow(pattern, arn)


@pytest.mark.parametrize(
    ("pattern", "arn"), [(pattern, arn) for pattern in DENIED for arn in DENIED[pattern]]
)
def test_a_caller_that_no_pattern_matches_is_not_allowed(pattern: str, arn: str | None) -> None:
    assert not allow(pattern, arn)


def test_an_empty_list_lets_nobody_in_and_one_match_among_many_is_enough() -> None:
    for arn in (None, ROLE + "billing", SESSION + "billing/x"):
        assert not AllowedCallers.parse([]).allow(arn)
    allowed = AllowedCallers.parse([ROLE + "a", USER + "b", ROLE + "c*"])
    assert allowed.allow(SESSION + "cde/x")
    assert not allowed.allow(SESSION + "b/x")


@pytest.mark.parametrize(
    "pattern",
    [
        *("*", "", "billing", "arn:aws:iam::*:role/billing", "arn:aws:iam::11112222333:role/billing"),
        "arn:*:iam::111122223333:role/billing",
        "arn:aws-eu:iam::111122223333:role/billing",
        *(f"arn:aws:iam::{ACCOUNT}:{name}" for name in ("*/billing", "root", "group/billing")),
        SESSION + "billing/*",
        *(ROLE + name for name in ("", "/billing", "teams//billing", "teams/", "x" * 65, "x" * 511 + "/b")),
        *(ROLE + name for name in ("bill?ng", "billing|other", ".*|x[", "billing\n")),
        ROLE + "b\N{LATIN SMALL LETTER DOTLESS I}lling",
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="AllowedCallers"):
        AllowedCallers.parse([ROLE + "good", pattern])


def test_a_pattern_that_no_session_can_match_is_pointed_out() -> None:
    patterns = [ROLE + "teams/*", ROLE + "teams/*/reader", ROLE + "*", USER + "teams/*"]
    assert AllowedCallers.parse(patterns).unmatchable == (ROLE + "teams/*",)


class Counting(str):
    """A name that keeps what is looked for in it."""

    __slots__ = ("lookups",)
    lookups: list[str]

    @override
    def find(self, sub: str, *bounds: SupportsIndex | None) -> int:
        self.lookups.append(sub)
        return super().find(sub, *bounds)


def test_finding_8_each_part_between_two_stars_is_looked_for_once() -> None:
    name = Counting("-" * 1000)
    name.lookups = []
    assert not _segment_matches("*-*-*-*-z*", name)
    assert name.lookups == ["-", "-", "-", "-z"]


stars = st.text("ab*", max_size=8)


@given(stars, st.text("ab", max_size=12))
def test_a_star_stands_for_any_characters_or_none(pattern: str, name: str) -> None:
    expected = re.fullmatch(pattern.replace("*", ".*"), name) is not None
    assert _segment_matches(pattern, name) is expected
