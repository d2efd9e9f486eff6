"""The MCP server: its first answers, which come before anything else is loaded."""
