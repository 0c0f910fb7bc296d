"""Mints, keeps, renews and hands out the one access token of a service account.

The package knows neither Lambda nor the console: the functions under `functions/` are its doors,
`wiring` is the only module that builds adapters, and `due` holds the rule for when a mint may happen.
"""

__version__ = "1.1.0"
