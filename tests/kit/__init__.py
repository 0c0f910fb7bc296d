"""What stands in for the outside: the vendor, AWS, the Lambda runtime, and the embedded stack."""
