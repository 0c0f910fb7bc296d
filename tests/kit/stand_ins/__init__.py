"""Stand-ins for the services the product talks to: real HTTP over loopback, strict where the real ones
are.
"""
