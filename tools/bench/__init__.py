"""`make bench`: speed and memory of the product, compared with minimal baselines."""
