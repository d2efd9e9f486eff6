"""A run's result, told to people, to CI systems and to programs.

Knows `_clauses`, `_verdict`, `_wire`.
"""
