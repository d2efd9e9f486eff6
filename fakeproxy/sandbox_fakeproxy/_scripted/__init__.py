"""The runtime for tests: its commands have scripted outcomes."""
