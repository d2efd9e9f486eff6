"""The state of one run on one target: actors, sandboxes, clock and cleanup."""
