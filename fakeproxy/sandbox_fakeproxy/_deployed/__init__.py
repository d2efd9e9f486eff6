"""The deployed proxy's quirks and bugs: the table, and what its rows need.

Knows `_clock`, `_errors`, `_http` and `_proxy`.
"""
