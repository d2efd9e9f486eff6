"""The files of a sandbox: the runtime's file API, and the volume behind it.

Paths go in as the sandbox knows them, and nothing that is asked leads out of its directories.
"""
