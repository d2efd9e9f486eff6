"""What runs inside the sandboxes, as the proxy sees it, and what every runtime is made of.

That is the interface, the frame of the HTTP API behind it, and where a sandbox is on this machine.
It does not know which runtimes there are.
"""
