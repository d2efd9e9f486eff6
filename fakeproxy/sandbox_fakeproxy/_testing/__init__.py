"""The fake as a test holds it: in process, or on a port of its own.

Knows `_app`, `_clock`, `_control`, `_local`, `_mint`, `_proxy`, `_runtime`, `_serving` and
`_state`.
"""
