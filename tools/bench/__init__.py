"""`make bench`: how quick and how small the product is, beside the least that could do its work."""
