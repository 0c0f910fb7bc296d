"""A stand-in for Personr: the documented mint, Bubble's manners where nothing is documented, scripted
misbehaviour.
"""

from tests.kit.personr.scenarios import Reset, Scenario
from tests.kit.personr.server import (
    API_PATH,
    DEFAULT_EMAIL,
    DEFAULT_PASSWORD,
    MINT_PATH,
    WHOAMI_PATH,
    PersonrServer,
    Seen,
)

__all__ = [
    "API_PATH",
    "DEFAULT_EMAIL",
    "DEFAULT_PASSWORD",
    "MINT_PATH",
    "WHOAMI_PATH",
    "PersonrServer",
    "Reset",
    "Scenario",
    "Seen",
]
