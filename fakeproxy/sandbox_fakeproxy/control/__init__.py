"""The controls of a fake for tests, in process and below `/_fake/`.

It is never part of the contract, and the proxy does not know that it is there.
"""
