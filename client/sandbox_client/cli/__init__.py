"""The terminal commands of `remote-sandbox`."""
