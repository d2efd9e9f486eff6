"""The runtime for tests: what a command does is what the test has said.

Knows `_clock`, `_files`, `_mint`, `_runtime` and `_shells`.
"""
