"""A fake of the sandbox proxy: the whole API, offline."""
