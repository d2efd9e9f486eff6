"""The MCP server over stdio: the tools of `_tools` in the protocol's words.

The low-level server, for exact control of schemas, text and errors.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from . import _config, _tools
from ._errors import SandboxError, mask_keys
from ._tool import Result, Tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from mcp.server.context import ServerRequestContext

    from ._config import Config
    from ._sandboxes import Sandboxes

NAME = "remote-sandbox"  # no underscore: clients build tool names from it


@dataclass(eq=False)
class _Lease:
    """Sandboxes and how many calls are using them."""

    sandboxes: Sandboxes
    users: int = 0


class Backend:
    """The sandboxes of the configuration as it is now: an edit of the file is seen at once."""

    def __init__(self, load: Callable[[], Config], connect: Callable[[Config], Sandboxes]) -> None:
        self._load = load
        self._connect = connect
        self._leases: list[_Lease] = []  # the last one is the configuration's

    @contextlib.asynccontextmanager
    async def sandboxes(self) -> AsyncGenerator[Sandboxes]:
        """Lend the sandboxes that the configuration leads to.

        Raises:
            ConfigError: it cannot be used.
        """
        lease = self._current(self._load())
        lease.users += 1
        try:
            yield lease.sandboxes
        finally:
            lease.users -= 1
            await self._close_unused()

    def _current(self, config: Config) -> _Lease:
        if not self._leases or self._leases[-1].sandboxes.proxy.config != config:
            self._leases.append(_Lease(self._connect(config)))
        return self._leases[-1]

    async def _close_unused(self) -> None:
        """Close what an edit of the configuration has replaced and no call uses any more."""
        unused = [lease for lease in self._leases[:-1] if not lease.users]
        self._leases = [lease for lease in self._leases if lease not in unused]
        with anyio.CancelScope(shield=True):
            for lease in unused:
                await lease.sandboxes.proxy.close()


def create_server(backend: Backend, *, version: str) -> Server[dict[str, object]]:
    """Return a server with all tools, whatever the configuration looks like."""
    tools = {tool.name: tool for tool in _tools.TOOLS}
    listing = types.ListToolsResult(tools=[_listed(tool) for tool in tools.values()])

    async def list_tools(
        _: ServerRequestContext[dict[str, object]], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return listing

    async def call_tool(
        context: ServerRequestContext[dict[str, object]], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            known = ", ".join(tools)
            raise MCPError(
                code=types.INVALID_PARAMS,
                message=f"Unknown tool: {mask_keys(params.name[:80])!r}. There are: {known}",
            )
        return _called(await _run(tool, params.arguments or {}, backend, _Progress(context)))

    return Server(
        NAME,
        version=version,
        title="Remote sandboxes",
        instructions=_tools.INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def serve() -> None:
    """Serve MCP on standard input and output until the input ends."""
    if sys.stdin is None or sys.stdout is None:  # <&- or >&-
        sys.exit("error: The MCP server talks on standard input and output, and one is closed.")
    # Ctrl-C ends it at once: there is nothing to clean up, and a blocked read would hold it up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.stdin.isatty():
        print(
            "remote-sandbox: the MCP server runs and waits for a client's messages here."
            " Ctrl-C ends it.",
            file=sys.stderr,
        )
    anyio.run(_serve)


async def _serve() -> None:
    from importlib.metadata import version

    server = create_server(
        Backend(lambda: _config.load(os.environ), _connect), version=version("async-remote-agent")
    )
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def _connect(config: Config) -> Sandboxes:
    # Here, since httpx costs a tenth of a second that no start should wait for.
    from ._proxy import Proxy
    from ._sandboxes import Sandboxes

    return Sandboxes(Proxy(config))


class _Progress:
    """Report a wait as MCP progress, whose values must rise."""

    def __init__(self, context: ServerRequestContext[dict[str, object]]) -> None:
        self._session = context.session
        self._last = 0.0

    async def __call__(self, elapsed: float, limit: float | None, reason: str) -> None:
        self._last = max(elapsed, self._last + 0.001)
        message = f"{reason} ({elapsed:.1f} s)"
        await self._session.report_progress(round(self._last, 3), limit, message)


async def _run(
    tool: Tool, arguments: dict[str, object], backend: Backend, report: _Progress
) -> Result:
    try:
        async with backend.sandboxes() as sandboxes:
            return await tool.run(sandboxes, tool.check(arguments), report)
    except SandboxError as error:
        return _tools.render_error(error)
    except Exception as error:  # noqa: BLE001  # the boundary: a fault of ours must be an answer too
        # Type and place only: values may hold what is not ours to show.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {place.filename}:{place.lineno}"
        print(f"remote-sandbox: internal error: {where}", file=sys.stderr)
        return Result(
            f"Internal error in remote-sandbox: {where}\nFault: remote-sandbox itself."
            "\nNext: report it to the project with the line above.",
            is_error=True,
        )


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema(),
        output_schema=tool.output_schema(),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=True,
        ),
    )


def _called(result: Result) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=result.text)],
        structured_content=dict(result.content) if result.content is not None else None,
        is_error=result.is_error,
    )
