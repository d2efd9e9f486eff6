"""Write the snapshot of the MCP server's constant responses: `python -m tools.snapshot`.

The server itself is asked in each version of the protocol.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from sandbox_client.mcp_server import handshake
from sandbox_client.mcp_server.messages import parse
from sandbox_client.mcp_server.server import this_server

PATH = Path(handshake.__file__).with_name("snapshot.json")
METHODS = (
    *("initialize", "server/discover", "ping", "tools/list", "resources/list"),
    *("resources/templates/list", "prompts/list"),
)
CLIENT = {"name": "snapshot", "version": "1"}


def opening(version: str) -> dict[str, Any]:
    """Return the parameters of a client's `initialize`."""
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT}


def envelope(version: str) -> dict[str, Any]:
    """Return the parameters of a request of the later protocol, which has no `initialize`."""
    prefix = "io.modelcontextprotocol"
    meta = {"protocolVersion": version, "clientInfo": CLIENT, "clientCapabilities": {}}
    return {"_meta": {f"{prefix}/{name}": value for name, value in meta.items()}}


def requests(version: str) -> list[dict[str, Any]]:
    """Return a request of each method, with its name as the id."""
    is_modern = version in MODERN_PROTOCOL_VERSIONS
    methods = [method for method in METHODS if not (is_modern and method == "initialize")]
    params = {method: envelope(version) if is_modern else {} for method in methods}
    if not is_modern:
        params["initialize"] = opening(version)
    return [
        {"jsonrpc": "2.0", "id": method, "method": method, "params": params[method]}
        for method in methods
    ]


async def answers(lines: list[bytes]) -> dict[Any, str]:
    """Return the response of the server to each line, by its id."""
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage](len(lines))
    server = this_server()
    found: dict[Any, str] = {}
    async with anyio.create_task_group() as tasks:
        options = server.create_initialization_options()
        tasks.start_soon(server.run, from_client, to_client, options)
        async with to_server, from_server:
            for line in lines:
                message = parse(line)
                assert message is not None
                await to_server.send(SessionMessage(message))
                if not isinstance(message, types.JSONRPCRequest):
                    continue
                answer = (await from_server.receive()).message
                text = answer.model_dump_json(by_alias=True, exclude_unset=True)
                found[json.loads(text)["id"]] = text
            tasks.cancel_scope.cancel()
    return found


async def snapshot() -> dict[str, Any]:
    """Return the members of each answer but its id, as JSON, and which answers are alike."""
    bodies: list[str] = []
    replies: dict[str, dict[str, int]] = {}
    for version in (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS):
        lines = [json.dumps(request).encode() for request in requests(version)]
        replies[version] = {}
        for method, answer in (await answers(lines)).items():
            members = {
                name: value
                for name, value in json.loads(answer).items()
                if name not in {"jsonrpc", "id"}
            }
            text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
            body = text.removeprefix("{").removesuffix("}")
            if body not in bodies:
                bodies.append(body)
            replies[version][method] = bodies.index(body)
    return {"modern": list(MODERN_PROTOCOL_VERSIONS), "replies": replies, "bodies": bodies}


def main() -> None:
    """Write the snapshot."""
    PATH.write_text(json.dumps(anyio.run(snapshot), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
