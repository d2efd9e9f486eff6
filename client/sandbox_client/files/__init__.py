"""Files of a sandbox: read, written and listed for a model, copied whole for a person."""
