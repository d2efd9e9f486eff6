"""The reports on a run: a web page, JUnit XML, JSON and terminal output."""
