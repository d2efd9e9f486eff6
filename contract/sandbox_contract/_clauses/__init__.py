"""The promises of the proxy, as data."""
