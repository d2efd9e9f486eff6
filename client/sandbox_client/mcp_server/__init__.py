"""The MCP server. Start with `tools` for the tools, `handshake` for the start of the process."""
