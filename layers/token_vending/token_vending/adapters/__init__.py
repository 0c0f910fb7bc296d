"""The edge: one module for each thing outside. Foreign errors are translated here, once."""
