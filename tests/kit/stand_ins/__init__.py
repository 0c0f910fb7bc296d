"""Lambda's Invoke, and the wire between the product and every other stand-in: real HTTP over loopback.

lambda_service.py stands in for the API that starts functions. Known to differ: of Lambda's asynchronous retries it
keeps the number and not the pauses of one and two minutes, and it keeps no event for six hours.
wire.py stands in for the network: a proxy that counts calls, and delays, drops, holds or answers those it is told
to. Known to differ: it reads a request whole before it passes it on, and speaks no TLS.
"""
