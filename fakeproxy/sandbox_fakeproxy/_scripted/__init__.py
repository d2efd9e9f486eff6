"""The runtime for tests: what a command does is what the test has said."""
