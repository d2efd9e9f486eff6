"""The runtime's pipe API (`/v1/bash`) and the sessions behind it.

Both runtimes share it. Only the `Process` of a command knows whether it is one of this machine.
"""
