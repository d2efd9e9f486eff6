"""Run commands in remote sandboxes: an MCP server and a terminal client."""
