"""The proxy: from an HTTP request to the service, and back.

Its routes are the wire contract's. It knows a runtime by the interface only, and of the deployed
proxy no more than where it may differ (`behavior`).
"""
