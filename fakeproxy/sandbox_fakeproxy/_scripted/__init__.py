"""The runtime for tests, whose commands do what the test has said."""
