"""Controls of the fake for tests, in process and below `/_fake/`.

They are not part of the contract, and the proxy's handlers and rules do not depend on them.
"""
