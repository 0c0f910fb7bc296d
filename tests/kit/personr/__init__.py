"""A stand-in for Personr: the documented mint, Bubble's manners where nothing is documented, scripted misbehaviour.

One live token an account, and a new one kills the old. Strict about what the documentation asks for: POST, Basic
credentials, a well-formed multipart body.

Known to differ: tokens do not expire, nor die when idle, by themselves (a test kills them; the simulation has both);
there is no rate limit but a scripted one; what Personr says to a malformed request is not documented, so that
answer is a guess.
"""

from tests.kit.personr.controls import (
    API_PATH,
    DEFAULT_EMAIL,
    DEFAULT_PASSWORD,
    MINT_PATH,
    WHOAMI_PATH,
)
from tests.kit.personr.scenarios import Reset, Scenario
from tests.kit.personr.server import PersonrServer

__all__ = [
    "API_PATH",
    "DEFAULT_EMAIL",
    "DEFAULT_PASSWORD",
    "MINT_PATH",
    "WHOAMI_PATH",
    "PersonrServer",
    "Reset",
    "Scenario",
]
