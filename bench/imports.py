"""What the vend function imports when it starts cold, beyond what the runtime client has imported anyway.

python -m bench.imports     writes the list anew (after a change that was meant)
"""

import re
import textwrap
from pathlib import Path

from bench.variants import prepared
from tests.kit.runtime.artefacts import VEND

PINNED = Path(__file__).with_name("vend_imports.txt")
_LINE = re.compile(r"import time:\s+(?P<own>\d+) \|\s+(?P<all>\d+) \|\s*(?P<name>\S+)")
_PROGRAM = """
import sys, awslambdaric.bootstrap
sys.stderr.write("the function\\n")
import app
class Context:
    aws_request_id = "1"
    def __init__(self, alias): self.invoked_function_arn = "arn:aws:lambda:eu-west-1:111122223333:function:f:" + alias
for event in {events}: app.handler(event, Context("url" if event else "live"))
"""


def vend_imports() -> dict[str, int]:
    """Module → microseconds, itself alone; through init, a direct hand-out and one over HTTP."""
    with prepared() as variants:
        variant = variants["vend-http"]
        program = _PROGRAM.format(events=[{}, variant.event])
        finished = variants.run(variant, "-X", "importtime", "-c", program, AWS_LAMBDA_FUNCTION_NAME=VEND)
    said = finished.stderr.partition("the function\n")[2]
    found = {match["name"]: int(match["own"]) for match in map(_LINE.match, said.splitlines()) if match}
    # What was tried and is not there (another system's, an optional package) is named too, at no cost to speak of.
    # Private modules change with Python's patch releases, and come with a public one.
    return {name: cost for name, cost in sorted(found.items()) if not name.startswith("_")}


def pinned() -> set[str]:
    """The list as it was agreed on."""
    return set(PINNED.read_text(encoding="ascii").split())


if __name__ == "__main__":
    PINNED.write_text(textwrap.fill(" ".join(vend_imports()), 110) + "\n", encoding="ascii")
