"""The runtime that really runs: on this machine, each sandbox in a directory of its own.

Every process of a sandbox, and every terminal, is made and ended in here.
"""
