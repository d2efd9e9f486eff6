"""`make demo`: every main feature in one run."""
