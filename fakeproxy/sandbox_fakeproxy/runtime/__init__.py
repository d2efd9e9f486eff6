"""The runtime inside a sandbox: its interface, its HTTP API, and two implementations of it.

`local` really runs commands on this machine, `scripted` plays what a test has scripted; `shell` and
`files` are common to both.
"""
