"""The runtime that really runs commands, on this machine, each sandbox in its own directory.

All processes and terminals of sandboxes are started and ended in this package.
"""
