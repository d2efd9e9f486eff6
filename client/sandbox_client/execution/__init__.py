"""Start, follow and cancel commands in sandboxes."""
