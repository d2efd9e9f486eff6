"""Requests to the proxy and their replies, without I/O."""
