"""The `sandbox-fakeproxy` program: command line, server process, data directory and socket."""
