"""The proxy itself: from a request to whoever may ask, and what they get.

Its routes are the wire contract's. It knows a runtime by the interface only, and of the deployed
proxy no more than where it may differ (`conduct`).
"""
