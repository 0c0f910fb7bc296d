"""The product's own use cases in a world whose clock, Secrets Manager and vendor are simulated.

`World` is the way in. `faults` says what can go wrong, and `SteppedRun` interleaves runs call by call.
"""

from tests.kit.personr.rules import Mint, Origin, Personr
from tests.simulation.clock import SimulatedClock
from tests.simulation.faults import (
    AWS_KINDS,
    MINT,
    PROBE,
    VENDOR_KINDS,
    Call,
    Fault,
    Killed,
    Kind,
    Weather,
    fair,
)
from tests.simulation.process import FUNCTION_TIMEOUT, Process, SteppedRun
from tests.simulation.secrets_manager import SimulatedClient, SimulatedSecretsManager
from tests.simulation.world import CREDENTIALS, EMAIL, STANDBY, STANDBY_EMAIL, TOKEN, RefreshProcess, World

__all__ = [
    "AWS_KINDS",
    "CREDENTIALS",
    "EMAIL",
    "FUNCTION_TIMEOUT",
    "MINT",
    "PROBE",
    "STANDBY",
    "STANDBY_EMAIL",
    "TOKEN",
    "VENDOR_KINDS",
    "Call",
    "Fault",
    "Killed",
    "Kind",
    "Mint",
    "Origin",
    "Personr",
    "Process",
    "RefreshProcess",
    "SimulatedClient",
    "SimulatedClock",
    "SimulatedSecretsManager",
    "SteppedRun",
    "Weather",
    "World",
    "fair",
]
