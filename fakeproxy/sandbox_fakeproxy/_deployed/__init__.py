"""The deployed proxy's quirks and bugs: the table, and what its rows need."""
