"""The deployed proxy's quirks and bugs: the table, and the functions of its rows."""
