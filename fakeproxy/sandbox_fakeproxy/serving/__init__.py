"""The fake as a program: a command line, a process, its data and its socket."""
