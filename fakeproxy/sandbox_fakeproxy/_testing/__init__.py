"""The fake as a test holds it: in process, or on a port of its own."""
