"""The deployed proxy's quirks and bugs: the table, and what its rows need.

Knows `_errors`, `_http` and `_proxy`.
"""
