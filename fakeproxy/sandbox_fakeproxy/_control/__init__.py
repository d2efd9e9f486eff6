"""The tester's hand: what may be done to a fake, in process and below `/_fake/`.

It is never part of the contract, and the proxy does not know that it is there.
"""
