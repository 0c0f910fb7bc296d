"""Lambda without Lambda: the functions as processes behind a Runtime API, and a Function URL in front of
them.
"""

from tests.kit.runtime.artefacts import REFRESH, VEND, Artefact
from tests.kit.runtime.function import LambdaFunction, Pending, Result
from tests.kit.runtime.function_url import FunctionUrl, Principal

__all__ = [
    "REFRESH",
    "VEND",
    "Artefact",
    "FunctionUrl",
    "LambdaFunction",
    "Pending",
    "Principal",
    "Result",
]
