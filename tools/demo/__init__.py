"""`make demo`: the whole product in one run."""
