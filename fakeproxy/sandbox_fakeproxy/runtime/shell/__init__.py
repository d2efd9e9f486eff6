"""The shells of a sandbox: the runtime's shell API, and the sessions behind it.

It does not know whether a command really runs: that is between a session and its shell.
"""
