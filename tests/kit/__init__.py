"""What stands in for the outside. Each package says what for, and where it is known to differ.

personr           the vendor, over HTTP
secrets_manager   AWS Secrets Manager: its rules, and a front over HTTP (the one in process: tests/simulation)
runtime           the Lambda runtime: the functions as processes, and a Function URL before them
stand_ins         Lambda's Invoke, a proxy that counts and breaks calls, and the loopback server beneath them all
stack             the whole template on a local AWS emulator
"""
