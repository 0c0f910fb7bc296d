"""How fast the built functions are, beside what else could have been written, in one run.

`make bench` measures and writes the report; `tests/bench/test_work.py` guards in CI what can be counted.
"""
