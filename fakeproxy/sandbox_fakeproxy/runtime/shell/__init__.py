"""The runtime's shell API and the sessions behind it.

Both runtimes share it. Only the `Shell` of a session knows whether its commands are processes.
"""
