"""The product's own use cases in a world whose clock, Secrets Manager and vendor are simulated.

`World` is the way in. `faults` says what can go wrong, and `SteppedRun` interleaves runs call by call.
"""

from tests.kit.personr.rules import Personr
from tests.simulation.clock import SimulatedClock
from tests.simulation.faults import MINT, Call, Fault, Killed, Kind, Weather
from tests.simulation.process import Process, SteppedRun
from tests.simulation.secrets_manager import SimulatedClient, SimulatedSecretsManager
from tests.simulation.world import CREDENTIALS, EMAIL, TOKEN, RefreshProcess, World

__all__ = [
    "CREDENTIALS",
    "EMAIL",
    "MINT",
    "TOKEN",
    "Call",
    "Fault",
    "Killed",
    "Kind",
    "Personr",
    "Process",
    "RefreshProcess",
    "SimulatedClient",
    "SimulatedClock",
    "SimulatedSecretsManager",
    "SteppedRun",
    "Weather",
    "World",
]
