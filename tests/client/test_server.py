"""The MCP server through the package's own client, in memory, in both eras of the protocol."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import anyio
import httpx
import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from sandbox_client import _config, _lifecycle
from sandbox_client._errors import ConfigError
from sandbox_client._proxy import Proxy
from sandbox_client._sandboxes import Sandboxes
from sandbox_client._server import Backend, create_server
from sandbox_client._tools import INSTRUCTIONS, TOOLS

from tests.client.doubles import CONFIG, KEY, URL, Clock, Routes, done, made, ran, says
from tests.client.states import ALPHA_NEW, ALPHA_PAUSED, ALPHA_PENDING, ALPHA_READY, ALPHA_STARTING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from sandbox_client._config import Config

    from tests.client.doubles import Handler

Mode = Literal["legacy", "auto"]
in_both_eras = pytest.mark.parametrize("mode", ["legacy", "auto"])

GET = "GET /api/sandboxes/box"
EXEC = "POST /proxy/box/v1/shell/exec"


def given() -> Config:
    return CONFIG


def broken() -> Config:
    raise ConfigError("apiKey is required in /x/config.json", advice="Add it there.")


@contextlib.asynccontextmanager
async def talking(
    mode: Mode,
    handler: Handler,
    load: Callable[[], Config] = given,
) -> AsyncGenerator[Client]:
    """A client of a server whose proxy `handler` plays, on a clock of ours."""
    clock, transport = Clock(), httpx.MockTransport(handler)

    def connect(config: Config) -> Sandboxes:
        proxy = Proxy(config, transport=transport, sleep=clock.sleep)
        return Sandboxes(proxy, clock=clock, sleep=clock.sleep, random=lambda: 0.0)

    server = create_server(Backend(load, connect), version="1.2.3")
    with anyio.fail_after(20):
        async with Client(server, mode=mode) as client:
            yield client


def text_of(result: types.CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


@in_both_eras
@pytest.mark.parametrize("load", [given, broken], ids=["config", "no config"])
async def test_the_tools_are_listed_whatever_the_configuration_is(
    mode: Mode, load: Callable[[], Config]
) -> None:
    async with talking(mode, Routes({}), load) as client:
        listed = await client.list_tools()

    assert [tool.name for tool in listed.tools] == [tool.name for tool in TOOLS]
    for shown, tool in zip(listed.tools, TOOLS, strict=True):
        assert shown.input_schema == tool.input_schema()
        assert shown.output_schema == tool.output_schema()


@in_both_eras
async def test_annotations_tell_what_each_tool_may_do(mode: Mode) -> None:
    async with talking(mode, Routes({})) as client:
        listed = await client.list_tools()

    shown = {tool.name: tool.annotations for tool in listed.tools}
    read_only = {name for name, each in shown.items() if each and each.read_only_hint}
    destructive = {name for name, each in shown.items() if each and each.destructive_hint}
    idempotent = {name for name, each in shown.items() if each and each.idempotent_hint}
    assert read_only == {"get_sandbox_status", "list_sandboxes"}
    assert destructive >= {"delete_sandbox", "send_prompt_to_sandbox"}
    assert idempotent >= {"get_sandbox_status", "list_sandboxes", "pause_sandbox"}
    assert "create_sandbox" not in destructive | idempotent


@in_both_eras
async def test_the_server_says_who_it_is_without_an_underscore(mode: Mode) -> None:
    async with talking(mode, Routes({})) as client:
        info, instructions = client.server_info, client.instructions

    assert info is not None
    assert (info.name, info.version) == ("remote-sandbox", "1.2.3")
    assert "_" not in info.name
    assert instructions == INSTRUCTIONS


_CALLS: list[tuple[str, dict[str, object], Routes]] = [
    (
        "create_sandbox",
        {"name": "box"},
        Routes({"POST /api/sandboxes": made(), GET: ALPHA_READY.response()}),
    ),
    ("get_sandbox_status", {"name": "box"}, Routes({GET: ALPHA_PAUSED.response()})),
    ("send_prompt_to_sandbox", {"name": "box", "command": "ls"}, Routes({EXEC: ran("a\n")})),
    (
        "list_sandboxes",
        {},
        Routes({"GET /api/sandboxes": httpx.Response(200, json={"count": 0, "sandboxes": []})}),
    ),
    ("delete_sandbox", {"name": "box"}, Routes({"DELETE /api/sandboxes/box": done()})),
    ("pause_sandbox", {"name": "box"}, Routes({"POST /api/sandboxes/box/pause": done()})),
    (
        "resume_sandbox",
        {"name": "box"},
        Routes({"POST /api/sandboxes/box/resume": done(), GET: ALPHA_READY.response()}),
    ),
]


@in_both_eras
@pytest.mark.parametrize(
    ("name", "arguments", "routes"), _CALLS, ids=[name for name, _, _ in _CALLS]
)
async def test_each_tool_answers_with_text_and_an_object(
    mode: Mode, name: str, arguments: dict[str, object], routes: Routes
) -> None:
    async with talking(mode, routes) as client:  # which checks the object against the schema
        result = await client.call_tool(name, arguments | {"wait_for_previous": False})

    assert not result.is_error
    assert text_of(result)
    assert isinstance(result.structured_content, dict)


@in_both_eras
async def test_progress_rises_and_carries_the_live_reason(mode: Mode) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    states = [each.response() for each in (ALPHA_NEW, ALPHA_PENDING, ALPHA_STARTING, ALPHA_READY)]
    routes = Routes({"POST /api/sandboxes": made(), GET: states})
    async with talking(mode, routes) as client:
        await client.call_tool("create_sandbox", {"name": "box"}, progress_callback=watch)

    values = [value for value, _, _ in told]
    assert values == sorted(set(values)), "values must rise"
    assert {total for _, total, _ in told} == {60.0}
    reasons = [message or "" for _, _, message in told]
    assert [reason.split(":")[0] for reason in reasons] == ["pending", "pending", "starting"]
    assert "Pod is Running but not Ready" in reasons[-1]


@in_both_eras
async def test_a_running_command_shows_progress_too(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lifecycle, "REPORT_INTERVAL", 0)
    told = anyio.Event()
    values: list[float] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        values.append(progress)
        if len(values) >= 3:
            told.set()

    async def slow(_: httpx.Request) -> httpx.Response:
        await told.wait()
        return ran("done")

    async with talking(mode, slow) as client:
        result = await client.call_tool(
            "send_prompt_to_sandbox",
            {"name": "box", "command": "make"},
            progress_callback=watch,
        )

    assert not result.is_error
    assert values == sorted(set(values)), "values must rise although the clock stands still"


@in_both_eras
async def test_a_wait_without_a_progress_token_is_no_fault(mode: Mode) -> None:
    states = [ALPHA_PENDING.response(), ALPHA_READY.response()]
    routes = Routes({"POST /api/sandboxes/box/resume": done(), GET: states})

    async with talking(mode, routes) as client:
        result = await client.call_tool("resume_sandbox", {"name": "box"})

    assert not result.is_error


@in_both_eras
async def test_without_a_configuration_every_call_says_what_to_mend(mode: Mode) -> None:
    async with talking(mode, Routes({}), broken) as client:
        results = [await client.call_tool(name, arguments) for name, arguments, _ in _CALLS]

    for result in results:
        assert result.is_error
        assert text_of(result).splitlines() == [
            "apiKey is required in /x/config.json",
            "Fault: the configuration on this machine; nothing was sent.",
            "Next: Add it there.",
        ]


@in_both_eras
async def test_a_refusal_of_the_proxy_is_an_error_result_and_no_exception(mode: Mode) -> None:
    refused = Routes({"POST /api/sandboxes/box/pause": says(403, "no access")})

    async with talking(mode, refused) as client:
        result = await client.call_tool("pause_sandbox", {"name": "box"})

    assert result.is_error
    assert "No sandbox 'box' of yours: no access" in text_of(result)
    assert "list_sandboxes" in text_of(result)
    assert result.structured_content is None


@in_both_eras
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "Argument 'name' is missing"),
        ({"name": 7}, "Argument 'name' is a number, not a string"),
        ({"name": "box", "force": True}, "Unknown argument 'force'"),
        ({"name": "../me"}, "cannot be a sandbox's name"),
    ],
)
async def test_wrong_arguments_are_an_error_result_that_names_them(
    mode: Mode, arguments: dict[str, object], words: str
) -> None:
    async with talking(mode, Routes({})) as client:
        result = await client.call_tool("pause_sandbox", arguments)

    assert result.is_error
    assert words in text_of(result)


@in_both_eras
async def test_an_unknown_tool_is_an_error_of_the_protocol(mode: Mode) -> None:
    async with talking(mode, Routes({})) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("drop_sandbox", {})

    assert caught.value.error.code == -32602
    assert "drop_sandbox" in caught.value.error.message
    assert "delete_sandbox" in caught.value.error.message


@in_both_eras
async def test_a_fault_of_ours_is_an_error_result_without_traceback_or_value(
    mode: Mode, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken_config() -> Config:
        raise RuntimeError(f"the value {KEY}")

    async with talking(mode, Routes({}), broken_config) as client:
        result = await client.call_tool("list_sandboxes", {})
        again = await client.list_tools()

    said = text_of(result) + capsys.readouterr().err
    assert result.is_error
    assert "RuntimeError" in said
    assert "Fault: remote-sandbox itself." in said
    assert "Traceback" not in said
    assert KEY not in said
    assert again.tools, "the server lives on"


@in_both_eras
@pytest.mark.parametrize("command", ["\ud800", "echo \udcff"], ids=ascii)
async def test_a_command_that_cannot_be_sent_is_the_requests_fault(
    mode: Mode, command: str
) -> None:
    async with talking(mode, Routes({EXEC: ran()})) as client:
        result = await client.call_tool(
            "send_prompt_to_sandbox", {"name": "box", "command": command}
        )

    assert result.is_error
    assert "Internal error" not in text_of(result)


async def test_an_edit_of_the_configuration_is_seen_at_the_next_call(home: Path) -> None:
    routes = Routes({GET: ALPHA_READY.response()})
    environ = {"HOME": str(home)}

    async with talking("auto", routes, lambda: _config.load(environ)) as client:
        before = await client.call_tool("get_sandbox_status", {"name": "box"})
        environ |= {"REMOTE_SANDBOX_PROXY_URL": URL, "REMOTE_SANDBOX_API_KEY": KEY}
        after = await client.call_tool("get_sandbox_status", {"name": "box"})

    assert before.is_error
    assert "No configuration" in text_of(before)
    assert not after.is_error


async def test_calls_with_one_configuration_share_their_connections() -> None:
    made_for: list[Config] = []

    def connect(config: Config) -> Sandboxes:
        made_for.append(config)
        return Sandboxes(Proxy(config, transport=httpx.MockTransport(Routes({}))))

    backend = Backend(given, connect)

    async with backend.sandboxes() as first, backend.sandboxes() as second:
        assert first is second
    async with backend.sandboxes() as third:
        assert third is first
    assert made_for == [CONFIG]


class Wire(httpx.MockTransport):
    """Connections that know whether they were closed."""

    def __init__(self) -> None:
        super().__init__(Routes({}))
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


async def test_connections_of_an_edited_configuration_are_closed_after_their_last_call() -> None:
    wires: list[Wire] = []
    config = CONFIG

    def connect(config: Config) -> Sandboxes:
        wires.append(Wire())
        return Sandboxes(Proxy(config, transport=wires[-1]))

    backend = Backend(lambda: config, connect)

    async with backend.sandboxes():
        config = replace(CONFIG, default_port=1)
        async with backend.sandboxes():
            pass
        assert [wire.closed for wire in wires] == [False, False]
    assert [wire.closed for wire in wires] == [True, False]


async def test_two_calls_at_once_do_not_wait_for_one_another() -> None:
    second = anyio.Event()

    async def proxy(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/exec"):
            await second.wait()
            return ran("slow")
        second.set()
        return ALPHA_READY.response()

    async with talking("auto", proxy) as client, anyio.create_task_group() as tasks:
        prompt = {"name": "box", "command": "sleep 1"}
        tasks.start_soon(client.call_tool, "send_prompt_to_sandbox", prompt)
        await client.call_tool("get_sandbox_status", {"name": "box"})

    assert second.is_set()
