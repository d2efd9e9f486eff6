"""Clean-up of processes and directories of a fake, also after it was killed."""
