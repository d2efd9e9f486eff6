"""Read the MCP server's command from `gemini-extension.json`, as Gemini CLI does."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp import StdioServerParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def server_parameters(
    environ: Mapping[str, str], extension: Path = ROOT
) -> tuple[str, StdioServerParameters]:
    """Return the server's name, and its command with variables replaced; unset ones are blank."""
    manifest = json.loads((extension / "gemini-extension.json").read_text())
    name, server = _only(manifest["mcpServers"])
    known = {"extensionPath": str(extension), "/": os.sep}

    def fill(text: str) -> str:
        return _VARIABLE.sub(lambda match: known.get(match[1], environ.get(match[1], "")), text)

    return name, StdioServerParameters(
        command=fill(server["command"]),
        args=[fill(argument) for argument in server["args"]],
        env={variable: fill(value) for variable, value in server["env"].items()},
    )


def _only(servers: dict[str, Any]) -> tuple[str, Any]:
    (item,) = servers.items()
    return item
