"""One run on one target: who acts in it, what it has made, and how it waits."""
