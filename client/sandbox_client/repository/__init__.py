"""A git repository of this machine, sent to a sandbox and fetched back as a branch.

`transfer` alone uses the network. `snapshot`, `outgoing` and `bundle` make the file that goes, and
`sandbox_scripts` has the scripts that run in the sandbox. `quarantine` checks the file that comes
back, `branch` makes a branch of it, and `apply` changes the working tree. `records` and `store`
remember both.
"""
