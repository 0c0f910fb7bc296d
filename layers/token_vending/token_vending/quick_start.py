"""Holds the garbage collector back while a function starts. Import it before everything else, `over()` at the end.

Start-up makes some hundred thousand objects that all stay (modules, classes, code), and the collector walks
them again and again as they grow in number, finding nothing: 6 % of the vend function's cold start
(docs/evidence/performance.md). `over()` also exempts what is there from later collections: it will live as long as
the process.
"""

import gc

gc.disable()


def over() -> None:
    """From here on garbage is collected as usual."""
    gc.freeze()
    gc.enable()
