"""The MCP server over stdio: the tools and the resources as messages of the protocol.

It uses the low-level server of the `mcp` package, for exact control of schemas, text and errors.
The resources are `sandbox://list` and `sandbox://{name}` for each sandbox; the status of a sandbox
named `list` is in the list only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import anyio
import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError, NoBackChannelError

from sandbox_client.api.sandboxes import check_name
from sandbox_client.errors import InvalidInput, RepositoryRefused, SandboxError, SandboxNotFound
from sandbox_client.presentation.sandboxes import list_content, status_content
from sandbox_client.provider import ClientCache
from sandbox_client.text import json_text, mask_keys

from . import stdio
from .handshake import REPLAYED
from .tools import INSTRUCTIONS, TOOLS, call_tool, render_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp.server.context import ServerRequestContext

    from sandbox_client.client import Client
    from sandbox_client.config import Config
    from sandbox_client.provider import ClientProvider

    from .tool import Result, Tool

    Context = ServerRequestContext[dict[str, object]]

NAME: Final = "remote-sandbox"  # no underscore: clients build tool names from it
URI_SCHEME: Final = "sandbox://"
LIST_URI: Final = f"{URI_SCHEME}list"
URI_TEMPLATE: Final = f"{URI_SCHEME}{{name}}"
JSON_TYPE: Final = "application/json"
ROOTS_DEADLINE: Final = 10.0  # seconds


def create_server(
    provider: ClientProvider, *, version: str, tools: Sequence[Tool[...]] = TOOLS
) -> Server[dict[str, object]]:
    """Return a server that offers all tools, even if the configuration is not usable."""
    tools_by_name = {tool.name: tool for tool in tools}
    tool_list = types.ListToolsResult(tools=[_listed_tool(tool) for tool in tools])

    async def on_list_tools(
        _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return tool_list

    async def on_call_tool(
        context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = tools_by_name.get(params.name)
        if tool is None:
            known = ", ".join(tools_by_name)
            raise MCPError(
                code=types.INVALID_PARAMS,
                message=f"Unknown tool: {mask_keys(params.name[:80])!r}. There are: {known}",
            )
        progress, roots = _Progress(context), _Roots(context)
        result = await call_tool(tool, params.arguments or {}, provider, progress, roots)
        return _call_result(result)

    async def on_read_resource(
        _: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        text = await _read_resource(provider, str(params.uri))
        contents = types.TextResourceContents(uri=params.uri, mime_type=JSON_TYPE, text=text)
        return types.ReadResourceResult(contents=[contents])

    return Server(
        NAME,
        version=version,
        title="Remote sandboxes",
        instructions=INSTRUCTIONS,
        on_list_tools=on_list_tools,
        on_call_tool=on_call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_resource_templates,
        on_read_resource=on_read_resource,
    )


def serve_after(reading: int, writing: int, received: bytes, unsent: bytes) -> None:
    """Serve MCP on two descriptors after the handshake, until the input ends.

    `received` is input that was read already, beginning with the replayed lines; `unsent` is output
    that comes before all responses.

    `main` has left Ctrl-C to the system: there is nothing to clean up, and a blocked read would
    delay a KeyboardInterrupt.
    """
    anyio.run(_serve, reading, writing, received, unsent)


async def _serve(reading: int, writing: int, received: bytes, unsent: bytes) -> None:
    await stdio.serve(
        this_server(), reading, writing, received=received, replayed=REPLAYED, unsent=unsent
    )


def this_server() -> Server[dict[str, object]]:
    """Return the server of the installed version, configured by the environment."""
    from importlib.metadata import version

    return create_server(ClientCache(os.environ, _connect), version=version("async-remote-agent"))


def _connect(config: Config) -> Client:
    # Importing httpx takes a tenth of a second, which only calls need.
    from sandbox_client.client import Client

    return Client.connect(config)


class _Progress:
    """Report the progress of a wait to the client, with rising values as MCP requires.

    Never call it in a shielded scope: some clients close the connection when they get the progress
    of a call that they have cancelled.
    """

    def __init__(self, context: Context) -> None:
        self._session = context.session
        self._last = 0.0

    async def __call__(self, elapsed: float, limit: float | None, reason: str) -> None:
        self._last = max(elapsed, self._last + 0.001)
        total = None if limit is None or self._last > limit else limit
        message = f"{reason} ({elapsed:.1f} s)"
        await self._session.report_progress(round(self._last, 3), total, message)


class _Roots:
    """Ask the client for its roots, which only clients of the older protocols have."""

    def __init__(self, context: Context) -> None:
        self._session = context.session

    async def __call__(self) -> Sequence[str] | None:
        capability = types.ClientCapabilities(roots=types.RootsCapability())
        if not self._session.check_client_capability(capability):
            return None
        try:
            with anyio.fail_after(ROOTS_DEADLINE):
                # Not list_roots(), which warns that roots are deprecated.
                result = await self._session.send_request(
                    types.ListRootsRequest(), types.ListRootsResult
                )
        except NoBackChannelError:
            return None
        except (TimeoutError, MCPError) as exc:
            raise RepositoryRefused(
                "The MCP client does not say which directories are its workspace",
                advice="The person can send the repository with `remote-sandbox push`.",
            ) from exc
        return [str(root.uri) for root in result.roots]


def _listed_tool(tool: Tool[...]) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema(),
        output_schema=tool.output_schema(),
        annotations=_annotations(tool),
    )


def _annotations(tool: Tool[...]) -> types.ToolAnnotations:
    """Return the annotations that differ from the protocol's defaults, to keep the list short."""
    if tool.read_only:
        return types.ToolAnnotations(read_only_hint=True)
    return types.ToolAnnotations(
        destructive_hint=tool.destructive, idempotent_hint=tool.idempotent or None
    )


def _call_result(result: Result) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=result.text)],
        structured_content=dict(result.content) if result.content is not None else None,
        is_error=result.is_error,
    )


async def _list_resources(
    _: Context, __: types.PaginatedRequestParams | None
) -> types.ListResourcesResult:
    resource = types.Resource(
        uri=LIST_URI,
        name="sandboxes",
        title="Your sandboxes",
        description="The user's sandboxes: name, state and age of each, newest first.",
        mime_type=JSON_TYPE,
    )
    return types.ListResourcesResult(resources=[resource])


async def _list_resource_templates(
    _: Context, __: types.PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template=URI_TEMPLATE,
        name="sandbox",
        title="A sandbox",
        description="The state of one sandbox and the controller's reason.",
        mime_type=JSON_TYPE,
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def _read_resource(provider: ClientProvider, uri: str) -> str:
    """Return the content of a resource as JSON.

    Raises:
        MCPError: there is no such resource, or it could not be read.
    """
    try:
        content = await _resource_content(provider, uri)
    except SandboxError as error:
        is_wrong_uri = isinstance(error, InvalidInput | SandboxNotFound)
        raise MCPError(
            code=types.INVALID_PARAMS if is_wrong_uri else types.INTERNAL_ERROR,
            message=render_error(error).text,
        ) from None
    return json_text(content)


async def _resource_content(provider: ClientProvider, uri: str) -> dict[str, object]:
    if not uri.startswith(URI_SCHEME):
        raise InvalidInput(
            "The URI is not one of a sandbox resource",
            advice=f"Read {LIST_URI}, or {URI_TEMPLATE} with a sandbox's name.",
        )
    async with provider.client() as client:
        if uri == LIST_URI:
            return list_content(await client.list())
        return status_content(await client.status(check_name(uri.removeprefix(URI_SCHEME))))
