"""The MCP server over stdio: the tools in the protocol's words.

The low-level server, for exact control of schemas, text and errors.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import anyio
import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

from sandbox_client.client_cache import ClientCache
from sandbox_client.errors import InvalidInput, SandboxError, SandboxNotFound, place_of_fault
from sandbox_client.text import mask_keys

from . import files, prompts, resources, sandboxes, stdio
from .handshake import REPLAYED
from .tool import Result, error_result

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from sandbox_client.client import Client
    from sandbox_client.config import Config

    from .tool import Tool

NAME = "remote-sandbox"  # no underscore: clients build tool names from it
INSTRUCTIONS: Final = (
    "Remote sandboxes are isolated machines that run shell commands. create_sandbox makes one and"
    " waits until it is ready; send_prompt_to_sandbox runs a command in it, and hands over a"
    " session where it takes long; get_prompt_output follows that, cancel_prompt kills it;"
    " run_agent starts a coding agent; read_sandbox_file, write_sandbox_file and list_sandbox_files"
    " are for files; pause_sandbox ends what runs and keeps the files;"
    " resume_sandbox starts it again; delete_sandbox removes it with its files for good, so ask the"
    " person first. Cancelling a call stops the waiting, not the command. Every error says its"
    " cause and what to do next; check_connection looks for the cause."
)

TOOLS: Final[tuple[Tool, ...]] = (
    sandboxes.create_sandbox,
    sandboxes.get_sandbox_status,
    sandboxes.list_sandboxes,
    sandboxes.delete_sandbox,
    sandboxes.pause_sandbox,
    sandboxes.resume_sandbox,
    prompts.send_prompt_to_sandbox,
    prompts.get_prompt_output,
    prompts.cancel_prompt,
    prompts.run_agent,
    files.read_sandbox_file,
    files.write_sandbox_file,
    files.list_sandbox_files,
    sandboxes.check_connection,
)


def create_server(backend: ClientCache, *, version: str) -> Server[dict[str, object]]:
    """Return a server with all tools, whatever the configuration looks like."""
    tools = {tool.name: tool for tool in TOOLS}
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

    async def read_resource(
        _: ServerRequestContext[dict[str, object]], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        text = await _read(backend, str(params.uri))
        contents = types.TextResourceContents(
            uri=params.uri, mime_type=resources.MIME_TYPE, text=text
        )
        return types.ReadResourceResult(contents=[contents])

    return Server(
        NAME,
        version=version,
        title="Remote sandboxes",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_resource_templates,
        on_read_resource=read_resource,
    )


async def _list_resources(
    _: ServerRequestContext[dict[str, object]], __: types.PaginatedRequestParams | None
) -> types.ListResourcesResult:
    listed = types.Resource(
        uri=resources.LIST,
        name="sandboxes",
        title="Your sandboxes",
        description="The person's own sandboxes: name, state and age of each, newest first.",
        mime_type=resources.MIME_TYPE,
    )
    return types.ListResourcesResult(resources=[listed])


async def _list_resource_templates(
    _: ServerRequestContext[dict[str, object]], __: types.PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    each = types.ResourceTemplate(
        uri_template=resources.TEMPLATE,
        name="sandbox",
        title="A sandbox",
        description="The state of one sandbox and the controller's reason.",
        mime_type=resources.MIME_TYPE,
    )
    return types.ListResourceTemplatesResult(resource_templates=[each])


async def _read(backend: ClientCache, uri: str) -> str:
    try:
        return await resources.read(backend, uri)
    except SandboxError as error:
        is_ours = isinstance(error, InvalidInput | SandboxNotFound)
        raise MCPError(
            code=types.INVALID_PARAMS if is_ours else types.INTERNAL_ERROR,
            message=error_result(error).text,
        ) from None


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
    """Return the server of this version, with the configuration of this process."""
    from importlib.metadata import version

    return create_server(ClientCache(os.environ, _connect), version=version("async-remote-agent"))


def _connect(config: Config) -> Client:
    # Here, since httpx costs a tenth of a second that no start should wait for.
    from sandbox_client.client import Client

    return Client.connect(config)


class _Progress:
    """Report a wait as MCP progress, whose values must rise.

    No code reports from a shielded scope: some clients drop the connection for progress of a call
    that they have cancelled.
    """

    def __init__(self, context: ServerRequestContext[dict[str, object]]) -> None:
        self._session = context.session
        self._last = 0.0

    async def __call__(self, elapsed: float, limit: float | None, reason: str) -> None:
        self._last = max(elapsed, self._last + 0.001)
        total = None if limit is None or self._last > limit else limit
        message = f"{reason} ({elapsed:.1f} s)"
        await self._session.report_progress(round(self._last, 3), total, message)


async def _run(
    tool: Tool, arguments: dict[str, object], backend: ClientCache, report: _Progress
) -> Result:
    try:
        return await tool.run(backend, tool.check(arguments), report)
    except SandboxError as error:
        return error_result(error)
    except Exception as error:  # noqa: BLE001  # the boundary: a fault of ours must be an answer too
        where = place_of_fault(error)
        print(f"remote-sandbox: internal error: {where}", file=sys.stderr)
        return Result(
            f"Internal error in remote-sandbox: {where}\nCause: remote-sandbox itself."
            "\nNext: report it to the project with the line above.",
            is_error=True,
        )


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema(),
        output_schema=tool.output_schema(),
        annotations=_annotations(tool),
    )


def _annotations(tool: Tool) -> types.ToolAnnotations:
    """Return what differs from the protocol's defaults: the list of tools is read at each start."""
    if tool.read_only:
        return types.ToolAnnotations(read_only_hint=True)
    return types.ToolAnnotations(
        destructive_hint=tool.destructive, idempotent_hint=tool.idempotent or None
    )


def _called(result: Result) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=result.text)],
        structured_content=dict(result.content) if result.content is not None else None,
        is_error=result.is_error,
    )
