"""Ending the processes and removing the directories that a fake leaves, also after a crash."""
