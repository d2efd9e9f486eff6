"""The runtime inside a sandbox: its interface, its HTTP API, and two implementations of it.

`local` runs commands as processes of this machine, `scripted` plays a test's script; `shell` and
`files` are common to both.
"""
