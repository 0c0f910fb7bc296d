"""How much a function does, counted and not timed: the instructions of Python that it runs, and what it writes.

The same function does the same work on any machine, however busy. Counted by the interpreter itself (PEP 669), in a
process of its own, after the runtime client is imported. A start that is counted takes some seconds.
"""

import json
from typing import NamedTuple

from bench.variants import Variant, Variants

WARM = 20
"""Invocations after the first few; their number of instructions differs by a few, since hash tables differ."""

_PROGRAM = """
import json, os, sys, awslambdaric.bootstrap
monitoring, count = sys.monitoring, 0
def instruction(code, offset):
    global count
    count += 1
def counted(do):
    global count
    count = 0
    monitoring.set_events(2, monitoring.events.INSTRUCTION)
    do()
    monitoring.set_events(2, 0)
    return count
class Context:
    aws_request_id, function_name, memory_limit_in_mb = "1", "measured", 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:111122223333:function:measured:" + sys.argv[2]
    get_remaining_time_in_millis = staticmethod(lambda: 30000)
monitoring.use_tool_id(2, "work")
monitoring.register_callback(2, monitoring.events.INSTRUCTION, instruction)
event, writes, write = json.loads(sys.argv[1]), 0, sys.stdout.write
def counting(text):
    global writes
    writes += 1
    return write(text)
def start():
    global app
    import app
    app.handler(event, Context())
cold = counted(start)
for _ in range(5):
    app.handler(event, Context())
sys.stdout.write = counting
warm = counted(lambda: [app.handler(event, Context()) for _ in range(WARM)])
sys.stdout.write = write
loaded = [module.__cached__ for module in sys.modules.values() if getattr(module, "__cached__", None)]
size = sum(os.path.getsize(file) for file in loaded if os.path.exists(file))
print("\\n" + json.dumps({"cold": cold, "warm": warm / WARM, "writes": writes / WARM, "bytecode": size}))
"""


class Work(NamedTuple):
    """Of one function."""

    cold: int
    """Instructions from importing the function to its first answer."""
    warm: float
    """Instructions of an invocation after that."""
    writes: float
    """Writes to the standard output in such an invocation."""
    bytecode: int
    """Bytes of the compiled modules that it has loaded, the runtime client's among them."""


def work(variants: Variants, variant: Variant) -> Work:
    """Runs it and counts."""
    program = _PROGRAM.replace("WARM", str(WARM))
    alias = "url" if "requestContext" in variant.event else "live"
    finished = variants.run(variant, "-c", program, json.dumps(variant.event), alias, PYTHONHASHSEED="0")
    return Work(**json.loads(finished.stdout.splitlines()[-1]))
