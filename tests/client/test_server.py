"""The MCP server, through an MCP client in memory, in both eras of the protocol."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio
import httpx
import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from pydantic import FileUrl
from sandbox_client import polling
from sandbox_client.client import Client as SandboxClient
from sandbox_client.http import Proxy
from sandbox_client.mcp_server.server import create_server
from sandbox_client.mcp_server.tools import INSTRUCTIONS, TOOLS
from sandbox_client.provider import ClientCache

from tests.client.statuses import (
    ALPHA_NEW,
    ALPHA_PAUSED,
    ALPHA_PENDING,
    ALPHA_READY,
    ALPHA_STARTING,
)
from tests.client.stubs import (
    CONFIG,
    EXEC,
    KEY,
    URL,
    FakeClock,
    RouteStub,
    created,
    error_reply,
    executed,
    fixed,
    session_opened,
    succeeded,
    timing_on,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from mcp.client.session import ListRootsFnT
    from sandbox_client import Config

    from tests.client.stubs import Handler

Mode = Literal["legacy", "auto"]
in_both_eras = pytest.mark.parametrize("mode", ["legacy", "auto"])

GET = "GET /api/sandboxes/box"


VARIABLES = {"REMOTE_SANDBOX_PROXY_URL": URL, "REMOTE_SANDBOX_API_KEY": KEY}
NOTHING = {"HOME": "/nonexistent"}


@contextlib.asynccontextmanager
async def mcp_client(
    mode: Mode,
    handler: Handler,
    environ: Mapping[str, str] = VARIABLES,
    list_roots: ListRootsFnT | None = None,
) -> AsyncGenerator[Client]:
    """Yield an MCP client of a server over `handler`, on a fake clock."""
    clock, transport = FakeClock(), httpx.MockTransport(handler)

    def connect(config: Config) -> SandboxClient:
        client = SandboxClient(
            Proxy(config, transport=transport, sleep=clock.sleep), timing_on(clock)
        )
        return fixed(client)

    server = create_server(ClientCache(environ, connect), version="1.2.3")
    with anyio.fail_after(20):
        async with Client(server, mode=mode, list_roots_callback=list_roots) as client:
            yield client


def text_of(result: types.CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


@in_both_eras
@pytest.mark.parametrize("environ", [VARIABLES, NOTHING], ids=["config", "no config"])
async def test_the_tools_are_listed_with_and_without_a_configuration(
    mode: Mode, environ: dict[str, str]
) -> None:
    async with mcp_client(mode, RouteStub({}), environ) as client:
        listed = await client.list_tools()

    assert [tool.name for tool in listed.tools] == [tool.name for tool in TOOLS]
    for shown, tool in zip(listed.tools, TOOLS, strict=True):
        assert shown.input_schema == tool.input_schema()
        assert shown.output_schema == tool.output_schema()


async def test_the_list_of_tools_is_at_most_12_kb() -> None:
    async with mcp_client("auto", RouteStub({})) as client:
        listed = await client.list_tools()

    assert len(listed.tools) <= 16
    assert len(listed.model_dump_json(by_alias=True, exclude_none=True)) <= 12_000


async def refused_repository(mode: Mode, roots: types.ListRootsResult | types.ErrorData) -> str:
    """Return the error for a repository that is in no workspace."""

    async def list_roots(context: object) -> types.ListRootsResult | types.ErrorData:
        return roots

    arguments = {"name": "box", "directory": "/"}
    async with mcp_client(mode, RouteStub({}), list_roots=list_roots) as client:
        result = await client.call_tool("send_repository", arguments)
    assert result.is_error
    return text_of(result)


async def test_the_workspace_is_the_roots_of_the_client(tmp_path: Path) -> None:
    roots = types.ListRootsResult(roots=[types.Root(uri=FileUrl(tmp_path.as_uri()))])

    assert (await refused_repository("legacy", roots)).startswith(f"/ is not below {tmp_path}, ")
    # The newer protocol has no way to ask: the workspace is the directory of the server.
    assert (await refused_repository("auto", roots)).startswith(f"/ is not below {Path.cwd()}, ")


async def test_a_client_that_does_not_name_its_roots_sends_no_repository() -> None:
    error = types.ErrorData(code=types.INTERNAL_ERROR, message="no folder is open")

    text = await refused_repository("legacy", error)

    assert text.startswith("The MCP client does not say which directories are its workspace")


async def test_annotations_are_sent_where_they_differ_from_the_default() -> None:
    async with mcp_client("auto", RouteStub({})) as client:
        listed = await client.list_tools()

    shown = {tool.name: tool.annotations for tool in listed.tools}
    read_only = {name for name, each in shown.items() if each and each.read_only_hint}
    destructive = {name for name, each in shown.items() if each and each.destructive_hint}
    idempotent = {name for name, each in shown.items() if each and each.idempotent_hint}
    assert read_only >= {"get_sandbox_status", "list_sandboxes", "get_prompt_output"}
    assert destructive >= {"delete_sandbox", "send_prompt_to_sandbox"}
    assert idempotent >= {"pause_sandbox", "resume_sandbox", "cancel_prompt"}
    assert all(
        each is not None and (each.read_only_hint or each.destructive_hint is not None)
        for each in shown.values()
    ), "without an annotation, a tool counts as destructive"
    assert "create_sandbox" not in destructive | idempotent


@in_both_eras
async def test_the_servers_name_has_no_underscore(mode: Mode) -> None:
    async with mcp_client(mode, RouteStub({})) as client:
        info, instructions = client.server_info, client.instructions

    assert info is not None
    assert (info.name, info.version) == ("remote-sandbox", "1.2.3")
    assert "_" not in info.name
    assert instructions == INSTRUCTIONS


_CALLS: list[tuple[str, dict[str, object], RouteStub]] = [
    (
        "create_sandbox",
        {"name": "box"},
        RouteStub({"POST /api/sandboxes": created(), GET: ALPHA_READY.response()}),
    ),
    ("get_sandbox_status", {"name": "box"}, RouteStub({GET: ALPHA_PAUSED.response()})),
    (
        "send_prompt_to_sandbox",
        {"name": "box", "command": "ls"},
        RouteStub({EXEC: executed("a\n")}),
    ),
    (
        "list_sandboxes",
        {},
        RouteStub({"GET /api/sandboxes": httpx.Response(200, json={"count": 0, "sandboxes": []})}),
    ),
    ("delete_sandbox", {"name": "box"}, RouteStub({"DELETE /api/sandboxes/box": succeeded()})),
    (
        "pause_sandbox",
        {"name": "box"},
        RouteStub({"POST /api/sandboxes/box/pause": succeeded(), GET: ALPHA_PAUSED.response()}),
    ),
    (
        "resume_sandbox",
        {"name": "box"},
        RouteStub({"POST /api/sandboxes/box/resume": succeeded(), GET: ALPHA_READY.response()}),
    ),
]


@pytest.mark.parametrize(
    ("name", "arguments", "routes"), _CALLS, ids=[name for name, _, _ in _CALLS]
)
async def test_each_tool_returns_text_and_an_object(
    name: str, arguments: dict[str, object], routes: RouteStub
) -> None:
    async with mcp_client("auto", routes) as client:  # which checks the object against the schema
        result = await client.call_tool(name, arguments | {"wait_for_previous": False})

    assert not result.is_error
    assert text_of(result)
    assert isinstance(result.structured_content, dict)


@in_both_eras
async def test_progress_rises_and_carries_the_reason(mode: Mode) -> None:
    reports: list[tuple[float, float | None, str | None]] = []

    async def follower(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, total, message))

    states = [each.response() for each in (ALPHA_NEW, ALPHA_PENDING, ALPHA_STARTING, ALPHA_READY)]
    routes = RouteStub({"POST /api/sandboxes": created(), GET: states})
    async with mcp_client(mode, routes) as client:
        await client.call_tool("create_sandbox", {"name": "box"}, progress_callback=follower)

    values = [value for value, _, _ in reports]
    assert values == sorted(set(values)), "values must rise"
    assert {total for _, total, _ in reports} == {60.0}
    reasons = [message or "" for _, _, message in reports]
    assert [reason.split(":")[0] for reason in reasons] == ["pending", "pending", "starting"]
    assert "Pod is Running but not Ready" in reasons[-1]


async def test_progress_rises_while_the_clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "REPORT_INTERVAL", 0)
    enough = anyio.Event()
    values: list[float] = []

    async def follower(progress: float, total: float | None, message: str | None) -> None:
        values.append(progress)
        if len(values) >= 3:
            enough.set()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/create"):
            return session_opened()
        await enough.wait()
        return executed("done")

    async with mcp_client("auto", slow) as client:
        result = await client.call_tool(
            "send_prompt_to_sandbox",
            {"name": "box", "command": "make"},
            progress_callback=follower,
        )

    assert not result.is_error
    assert values == sorted(set(values)), "values must rise although the clock stands still"


async def test_progress_never_exceeds_its_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "REPORT_INTERVAL", 0)
    reports: list[tuple[float, float | None]] = []
    enough = anyio.Event()

    async def follower(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, total))
        if len(reports) >= 3:
            enough.set()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/create"):
            return session_opened()
        await enough.wait()
        return executed("", None, "running")

    async with mcp_client("auto", slow) as client:
        arguments = {"name": "box", "command": "make", "wait_seconds": 0}
        await client.call_tool("send_prompt_to_sandbox", arguments, progress_callback=follower)

    assert reports
    assert all(total is None or progress <= total for progress, total in reports)


async def test_a_wait_without_a_progress_token_works() -> None:
    states = [ALPHA_PENDING.response(), ALPHA_READY.response()]
    routes = RouteStub({"POST /api/sandboxes/box/resume": succeeded(), GET: states})

    async with mcp_client("auto", routes) as client:
        result = await client.call_tool("resume_sandbox", {"name": "box"})

    assert not result.is_error


async def test_an_unusable_configuration_is_an_error_of_every_call() -> None:
    environ = {**NOTHING, "REMOTE_SANDBOX_PROXY_URL": "ftp://x", "REMOTE_SANDBOX_API_KEY": KEY}
    async with mcp_client("auto", RouteStub({}), environ) as client:
        results = [await client.call_tool(name, arguments) for name, arguments, _ in _CALLS]

    for result in results:
        assert result.is_error
        event, cause, step = text_of(result).splitlines()
        assert event.startswith("proxyUrl has value 'ftp://x', without http:// or https://")
        assert cause == "Cause: the configuration on this machine; nothing was sent."
        assert step.startswith("Next: Write it like")


@in_both_eras
async def test_a_refusal_by_the_proxy_is_an_error_result(mode: Mode) -> None:
    refused = RouteStub({"POST /api/sandboxes/box/pause": error_reply(403, "no access")})

    async with mcp_client(mode, refused) as client:
        result = await client.call_tool("pause_sandbox", {"name": "box"})

    assert result.is_error
    assert "No sandbox 'box' of yours: no access" in text_of(result)
    assert "list_sandboxes" in text_of(result)
    assert result.structured_content is None


@in_both_eras
async def test_a_wrong_argument_is_an_error_result_that_names_it(mode: Mode) -> None:
    async with mcp_client(mode, RouteStub({})) as client:
        result = await client.call_tool("pause_sandbox", {"name": 7})

    assert result.is_error
    assert "Argument 'name' is a number, not a string" in text_of(result)


@in_both_eras
async def test_an_unknown_tool_is_a_protocol_error(mode: Mode) -> None:
    async with mcp_client(mode, RouteStub({})) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("drop_sandbox", {})

    assert caught.value.error.code == -32602
    assert "drop_sandbox" in caught.value.error.message
    assert "delete_sandbox" in caught.value.error.message


async def test_an_internal_error_shows_neither_traceback_nor_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def connect(_: Config) -> SandboxClient:
        raise RuntimeError(f"the value {KEY}")

    server = create_server(ClientCache(VARIABLES, connect), version="1.2.3")
    with anyio.fail_after(20):
        async with Client(server, mode="auto") as client:
            result = await client.call_tool("list_sandboxes", {})
            again = await client.list_tools()

    printed = text_of(result) + capsys.readouterr().err
    assert result.is_error
    assert "RuntimeError" in printed
    assert "Cause: remote-sandbox itself." in printed
    assert "Traceback" not in printed
    assert KEY not in printed
    assert again.tools, "the server still serves"


async def test_a_command_with_a_lone_surrogate_is_refused() -> None:
    async with mcp_client("auto", RouteStub({EXEC: executed()})) as client:
        arguments = {"name": "box", "command": "echo \udcff"}
        result = await client.call_tool("send_prompt_to_sandbox", arguments)

    assert result.is_error
    assert "is not valid Unicode text" in text_of(result)


async def test_the_configuration_is_read_at_each_call(home: Path) -> None:
    routes = RouteStub({GET: ALPHA_READY.response()})
    environ = {"HOME": str(home)}

    async with mcp_client("auto", routes, environ) as client:
        before = await client.call_tool("get_sandbox_status", {"name": "box"})
        environ |= {"REMOTE_SANDBOX_PROXY_URL": URL, "REMOTE_SANDBOX_API_KEY": KEY}
        after = await client.call_tool("get_sandbox_status", {"name": "box"})

    assert before.is_error
    assert "No configuration" in text_of(before)
    assert not after.is_error


async def test_calls_with_the_same_configuration_share_a_client() -> None:
    configs: list[Config] = []

    def connect(config: Config) -> SandboxClient:
        configs.append(config)
        return SandboxClient(Proxy(config, transport=httpx.MockTransport(RouteStub({}))))

    provider = ClientCache(VARIABLES, connect)

    async with provider.client() as first, provider.client() as second:
        assert first is second
    async with provider.client() as third:
        assert third is first
    assert configs == [CONFIG]


class RecordingTransport(httpx.MockTransport):
    """A transport that records whether it was closed."""

    def __init__(self) -> None:
        super().__init__(RouteStub({}))
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


async def test_a_replaced_client_is_closed_after_its_last_call() -> None:
    transports: list[RecordingTransport] = []
    environ = dict(VARIABLES)

    def connect(config: Config) -> SandboxClient:
        transports.append(RecordingTransport())
        return SandboxClient(Proxy(config, transport=transports[-1]))

    provider = ClientCache(environ, connect)

    async with provider.client():
        environ["REMOTE_SANDBOX_DEFAULT_PORT"] = "1"
        async with provider.client():
            pass
        assert [transport.closed for transport in transports] == [False, False]
    assert [transport.closed for transport in transports] == [True, False]


async def test_two_concurrent_calls_do_not_wait_for_each_other() -> None:
    second = anyio.Event()

    async def proxy(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/exec"):
            await second.wait()
            return executed("slow")
        if request.url.path.endswith("/create"):
            return session_opened()
        second.set()
        return ALPHA_READY.response()

    async with mcp_client("auto", proxy) as client, anyio.create_task_group() as tasks:
        prompt = {"name": "box", "command": "sleep 1"}
        tasks.start_soon(client.call_tool, "send_prompt_to_sandbox", prompt)
        await client.call_tool("get_sandbox_status", {"name": "box"})

    assert second.is_set()


@in_both_eras
async def test_the_resources_are_the_list_and_each_sandbox(mode: Mode) -> None:
    listed = httpx.Response(200, json={"count": 1, "sandboxes": [ALPHA_READY.listed()]})
    routes = RouteStub({"GET /api/sandboxes": listed, GET: ALPHA_READY.response()})

    async with mcp_client(mode, routes) as client:
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
        everything = await client.read_resource("sandbox://list")
        one = await client.read_resource("sandbox://box")

    assert [str(each.uri) for each in resources] == ["sandbox://list"]
    assert [each.uri_template for each in templates] == ["sandbox://{name}"]
    assert content_of(everything)["count"] == 1
    assert (content_of(one)["name"], content_of(one)["state"]) == ("box", "ready")


def content_of(result: types.ReadResourceResult) -> dict[str, object]:
    (contents,) = result.contents
    assert isinstance(contents, types.TextResourceContents)
    assert contents.mime_type == "application/json"
    content: dict[str, object] = json.loads(contents.text)
    return content


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("sandbox://../me", "cannot be a sandbox's name"),
        ("sandbox://", "cannot be a sandbox's name"),
        ("file:///etc/passwd", "not one of a sandbox resource"),
        ("sandbox://box", "No sandbox 'box' of yours"),
    ],
)
async def test_an_unknown_resource_is_a_protocol_error(uri: str, words: str) -> None:
    async with mcp_client("auto", RouteStub({GET: error_reply(403, "no access")})) as client:
        with pytest.raises(MCPError, match=words) as caught:
            await client.read_resource(uri)

    assert caught.value.error.code == -32602


@in_both_eras
async def test_resources_are_listed_without_a_configuration(
    mode: Mode,
) -> None:
    async with mcp_client(mode, RouteStub({}), NOTHING) as client:
        assert (await client.list_resources()).resources
        with pytest.raises(MCPError, match="No configuration"):
            await client.read_resource("sandbox://list")


@in_both_eras
async def test_cancelling_a_call_does_not_kill_the_command(mode: Mode) -> None:
    viewed, cancelled = anyio.Event(), anyio.Event()

    async def proxy(request: httpx.Request) -> httpx.Response:
        operation = request.url.path.rpartition("/")[2]
        assert operation != "kill"
        if operation == "view":
            viewed.set()
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.set()
        return {"create": session_opened(), "exec": executed("", None, "running")}[operation]

    async with mcp_client(mode, proxy) as client:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                work = {"name": "box", "command": "make"}
                tasks.start_soon(client.call_tool, "send_prompt_to_sandbox", work)
                await viewed.wait()
                scope.cancel()
        await cancelled.wait()
        listed = await client.list_tools()

    assert scope.cancelled_caught
    assert listed.tools, "the server still serves"


async def test_a_warning_is_printed_once_for_all_calls(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / ".config/gemini-remote-sandbox/config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"proxyUrl": URL, "apiKey": KEY}))
    path.chmod(0o644)

    async with mcp_client(
        "auto", RouteStub({GET: ALPHA_READY.response()}), {"HOME": str(home)}
    ) as client:
        for _ in range(2):
            await client.call_tool("get_sandbox_status", {"name": "box"})

    assert capsys.readouterr().err.count("remote-sandbox: Warning: ") == 1
