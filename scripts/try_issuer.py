"""Checks a description of an issuer and shows what it does: `make try-issuer FILE=... [LIVE=1]`.

Without LIVE it is played against a stand-in that is generated from it, on this machine. With LIVE=1 it logs in
once at the real endpoint, with the credentials from the environment (CREDENTIAL_<FIELD>) and, where the
description says {base_url}, ISSUER_URL. The token is never shown.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.kit.issuer import IssuerServer, answer_of
from tests.kit.personr import Scenario, scenarios
from token_vending.adapters.issuer import DescribedIssuer
from token_vending.adapters.login_request import login_request
from token_vending.credentials import Credentials
from token_vending.errors import ConfigurationError, TokenVendingError
from token_vending.issuers import Description, load, read
from token_vending.ports import Minted
from token_vending.records import read_credentials
from token_vending.settings import base_url_of
from token_vending.token import fingerprint

LONGEST_PARAMETER = 2500
# What it means, and what must come of it.
MEANINGS = {
    "refused": ("the credentials are refused until they change", "CredentialsRefused"),
    "not_taken_on": ("nothing happened; tried again", "VendorUnavailable"),
    "misconfigured": ("nothing happened; a person must correct a setting", "ConfigurationError"),
}
LATE_SECONDS = 1.0
LIVE_SECONDS = 20.0


def main() -> int:
    """The exit status: 0 if the description can be used and did what it says."""
    parser = argparse.ArgumentParser(prog="make try-issuer", description=__doc__)
    parser.add_argument(
        "issuer", metavar="FILE", help="a file, or the name of a description that is built in"
    )
    parser.add_argument("--live", action="store_true", help="log in once at the real endpoint")
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    try:
        text, description = _read(arguments.issuer)
        _show(console, text, description)
        held = _live(console, description) if arguments.live else _play(console, description)
    except (ConfigurationError, OSError) as fault:
        print(f"try-issuer: {fault}", file=sys.stderr)
        return 2
    return 0 if held else 1


def _read(issuer: str) -> tuple[str | None, Description]:
    path = Path(issuer)
    if not path.is_file():
        return None, load(issuer)
    text = path.read_text(encoding="utf-8")
    return json.dumps(json.loads(text), separators=(",", ":")), read(text, name=path.stem)


def _show(console: Console, text: str | None, description: Description) -> None:
    made_up = Credentials("v", {field.name: f"<{field.name}>" for field in description.fields})
    request = login_request(description, made_up)
    kind = description.body[0] or "no"
    console.print(
        f"[bold]{description.name}[/bold]: {description.method} {description.url}, {kind} body", markup=True
    )
    console.print(f"headers: {', '.join(request.headers) or 'none'}", markup=False)
    for field in description.fields:
        also = f" (or {field.also})" if field.also else ""
        optional = ", may be missing" if field.optional else ""
        console.print(f"the credentials secret holds {field.name!r}{also}{optional}", markup=False)
    effect = "kills the token before it" if description.destructive else "leaves the token before it alive"
    console.print(f"a new token {effect}")
    if description.max_age:
        console.print(
            f"renewed at an age of {description.max_age.days} days, unless MaxAgeDays says otherwise"
        )
    if text is not None and len(text) <= LONGEST_PARAMETER and text.isascii() and "\\" not in text:
        console.print(
            f"\nas the parameter Issuer ({len(text)} of {LONGEST_PARAMETER} characters):\n{text}",
            markup=False,
        )
    elif text is not None:
        console.print(
            "\ntoo long for the parameter Issuer, or with a character that it does not take: put the file into "
            "layers/token_vending/token_vending/descriptions before the build, and give its name"
        )


def _play(console: Console, description: Description) -> bool:
    table = Table("the vendor answers", "what becomes of it", "is the old token dead")
    held = True
    with IssuerServer(description) as server:
        for name, scenario, wanted in _scenarios(description):
            server.reset_script()
            if scenario is not None:
                server.script(scenario)
            late = scenario is not None and scenario.hang
            outcome = _mint(server.issuer(), server.credentials, LATE_SECONDS if late else LIVE_SECONDS)
            held = held and wanted in {None, type(outcome).__name__}
            told = "a token" if isinstance(outcome, Minted) else f"{type(outcome).__name__}: {outcome}"
            table.add_row(name, told, _effect(outcome, description))
    console.print()
    console.print(table)
    failed = "it does not hold: a success gave no token, or a named answer was read otherwise"
    console.print("it holds" if held else failed)
    return held


def _scenarios(description: Description) -> Iterator[tuple[str, Scenario | None, str | None]]:
    """What the stand-in does, and the type of what must come of it."""
    yield "a success", None, "Minted"
    for meaning, (text, wanted) in MEANINGS.items():
        for condition in getattr(description, meaning):
            answer = answer_of(description, condition)
            statuses = ", ".join(sorted(condition.statuses))
            reasons = " ".join(sorted(condition.reasons))
            name = f"{statuses} {reasons}".strip() + f": {text}"
            yield name, Scenario(status=answer.status, body=answer.body.decode()), wanted
    yield "500", scenarios.maintenance(500), None
    yield "302", scenarios.redirect("https://elsewhere.example.com/"), None
    yield "200 without a token", Scenario(status=200, body="{}"), None
    yield "nothing, in time", Scenario(hang=True, took_effect=True), None


def _live(console: Console, description: Description) -> bool:
    variables = {f"CREDENTIAL_{field.name.upper()}": field.name for field in description.fields}
    given = {name: os.environ[variable] for variable, name in variables.items() if variable in os.environ}
    try:
        credentials = read_credentials("live", json.dumps(given), wanted=description.fields)
    except ConfigurationError:
        needed = [f"CREDENTIAL_{field.name.upper()}" for field in description.fields if not field.optional]
        message = f"set {', '.join(needed)} in the environment, each to what can be sent"
        raise ConfigurationError(message) from None
    url, address = base_url_of(os.environ, description)
    issuer = DescribedIssuer(description, url, address=address)
    console.print("\nlogging in once at the real endpoint ...")
    outcome = _mint(issuer, credentials, LIVE_SECONDS)
    if not isinstance(outcome, Minted):
        console.print(f"{type(outcome).__name__}: {outcome}", markup=False)
        return False
    console.print(
        f"a token of {len(outcome.access_token)} characters, fingerprint {fingerprint(outcome.access_token)}"
    )
    console.print(f"lifetime: {outcome.lifetime}; {outcome.warning or 'as the vendor says'}", markup=False)
    console.print(f"user id: {'read' if outcome.user_id else 'none'}")
    return True


def _effect(outcome: Minted | TokenVendingError, description: Description) -> str:
    if isinstance(outcome, Minted):
        return "yes" if description.destructive else "no"
    return "perhaps" if getattr(outcome, "ambiguous", False) else "no"


def _mint(issuer: DescribedIssuer, credentials: Credentials, timeout: float) -> Minted | TokenVendingError:
    try:
        return issuer.mint(credentials, timeout=timeout)
    except TokenVendingError as error:
        return error


if __name__ == "__main__":
    sys.exit(main())
