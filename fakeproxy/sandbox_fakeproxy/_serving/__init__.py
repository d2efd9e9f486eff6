"""The fake as a program: a command line, a process, its data and its socket.

Knows `_app`, `_control`, `_errors`, `_http`, `_local`, `_mint`, `_proxy`, `_runtime` and `_state`.
"""
