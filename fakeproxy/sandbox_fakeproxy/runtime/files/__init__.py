"""The files of a sandbox: the runtime's file API, and the volume behind it.

Paths are those that the sandbox knows, and no request reaches outside its directories.
"""
