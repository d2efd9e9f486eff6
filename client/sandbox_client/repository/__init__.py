"""A git repository of this machine, sent to a sandbox and fetched back as a branch.

Without network: `snapshot` and `bundle` make the file that goes, `sandbox_scripts` has what runs in
the sandbox, `quarantine` checks the file that comes back, and `branch` makes a branch of it.
"""
