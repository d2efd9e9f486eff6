"""The deployed proxy's quirks and bugs: the table, and the classes that implement it."""
