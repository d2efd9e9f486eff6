"""The files of a sandbox: read, write and list them, and copy them to and from this machine.

`model` has the data, `local` and `streams` the files of this machine, `remote` those of a sandbox.
`copy` copies between the two, by `upload`, `download` and `archive`, and survives an `outage`.
`shell_scripts` has the scripts that run in the sandbox.
"""
