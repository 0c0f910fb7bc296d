"""The Lambda runtime: the functions as processes behind a Runtime API, and a Function URL in front of them.

The code is what `sam build` made, or the sources if they have changed since; AWS's own runtime client
(awslambdaric) runs it, and imports come from the function, its layer and that client only. Processes are cold
when new, warm when reused, one invocation at a time, and killed with SIGKILL at the function's timeout. The
Function URL verifies SigV4 and speaks payload format 2.0.

Known to differ: no memory limit, no throttling, no reserved concurrency; a warm process is not frozen between
invocations; the init phase has neither Lambda's limit of 10 s nor its second try; a cold process is a fork of one
that has imported boto3 (for the vend function aws_sdk_signers) from the artefact, and imports all else anew, the
runtime client and our code among it; no SnapStart (tests/integration/test_snapshot.py plays its hooks); Python's own
executable stands in for Amazon Linux's. Under coverage the first process of a function in each file of tests is
measured, and ended with SIGTERM rather than SIGKILL.
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
