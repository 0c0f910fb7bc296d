"""How fast the built functions are, beside what else could have been written, in one run.

`make bench` measures and writes the report; `test_speed.py` holds the ratios in CI.
"""
