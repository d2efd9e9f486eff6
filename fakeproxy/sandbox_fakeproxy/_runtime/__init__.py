"""The interface of the runtimes inside the sandboxes, and their common parts.

That is the interface, the frame of the HTTP API behind it, and where a sandbox is on this machine.
It does not know which runtimes there are.
"""
