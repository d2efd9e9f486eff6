"""Requests to the pipe API and its replies, without a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import OutputChunk, ProxyFailed, SessionRow
from sandbox_client.api import pipes
from sandbox_client.api.pipes import MAX_UNCUT, PipeSnapshot
from sandbox_client.api.runtime import (
    ENVIRONMENT,
    CommandStatus,
    Payload,
    Task,
    read_done,
)
from sandbox_client.errors import InvalidResponse

from tests.client.strategies import some_examples
from tests.client.stubs import (
    COMMAND,
    as_reply,
    piped,
    piped_line,
    piped_output,
    session_opened,
)

if TYPE_CHECKING:
    from sandbox_client.api.message import Request

DIRECTORY = '"$HOME"/.remote-sandbox-0123abcd'
SCRIPT = f'"$(cat {DIRECTORY}/run || echo false; rm -rf {DIRECTORY})"'
BASH = "/proxy/box/v1/bash"
ANSWER = {"session_id": "s1", "env": ENVIRONMENT, "timeout": 0.05, "max_output_length": 50_000}
RUNNING = CommandStatus("running", None, "make")

NOTE = piped_line("x").partition("exec -a")[0]
RUN = 'exec -a bash "$BASH" -c -- '
_REQUESTS: dict[str, tuple[Request, str, object]] = {
    "open": (
        pipes.open_session("box", "s1"),
        f"POST {BASH}/sessions/create",
        {"session_id": "s1", "exec_dir": "/sandbox"},
    ),
    "execute": (
        pipes.execute("box", "s1", Task("a\nb")),
        f"POST {BASH}/exec",
        ANSWER | {"command": f"{NOTE}{RUN}$'a\\012b' </dev/null"},
    ),
    "execute with all": (
        pipes.execute("box", "s1", Task("ls", "/x", {"A": "1", "PAGER": "less"}, 600.0)),
        f"POST {BASH}/exec",
        ANSWER
        | {
            "command": f"{NOTE}{RUN}ls </dev/null",
            "env": ENVIRONMENT | {"A": "1", "PAGER": "less"},
            "exec_dir": "/x",
            "hard_timeout": 600.0,
        },
    ),
    "execute with a payload": (
        pipes.execute("box", "s1", Task("sort\n-u", payload=Payload(DIRECTORY, True))),
        f"POST {BASH}/exec",
        ANSWER | {"command": f"{NOTE}{{ {RUN}{SCRIPT}; }} <{DIRECTORY}/in  # sort -u"},
    ),
    "execute an own command": (
        pipes.execute("box", "s1", Task("mkdir x", is_internal=True)),
        f"POST {BASH}/exec",
        ANSWER | {"command": "mkdir x"},
    ),
    "output": (
        pipes.output("box", "s1", 3, 4),
        f"POST {BASH}/output",
        {"session_id": "s1", "offset": 3, "stderr_offset": 4},
    ),
    "output with a long poll": (
        pipes.output("box", "s1", 3, 4, wait=1.23456),
        f"POST {BASH}/output",
        {
            "session_id": "s1",
            "offset": 3,
            "stderr_offset": 4,
            "wait": True,
            "wait_timeout": 1.235,
        },
    ),
    "kill": (
        pipes.send_signal("box", "s1", "SIGINT"),
        f"POST {BASH}/kill",
        {"session_id": "s1", "signal": "SIGINT"},
    ),
    "close": (pipes.close_session("box", "s1"), f"POST {BASH}/sessions/s1/close", None),
    "list": (pipes.list_sessions("box"), f"GET {BASH}/sessions", None),
}


@pytest.mark.parametrize("kind", _REQUESTS)
def test_the_requests_of_the_pipe_api(kind: str) -> None:
    request, route, body = _REQUESTS[kind]

    assert f"{request.method} {request.path}" == route
    assert request.body == body
    assert request.repeatable == (kind.partition(" ")[0] in {"open", "output", "list"})


def test_both_streams_of_an_ended_command_are_read() -> None:
    snapshot = pipes.read_executed(as_reply(piped("é\n", "oh\n", 3)))

    assert snapshot == PipeSnapshot(
        CommandStatus("completed", 3, "make"),
        (
            OutputChunk("é\n", 3, unit="bytes"),
            OutputChunk("oh\n", 3, is_error=True, unit="bytes"),
        ),
    )


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (piped(exit_code=None, status="running"), RUNNING),
        (piped(exit_code=None, status="pending"), RUNNING),
        (piped(exit_code=-15), CommandStatus("completed", 143, "make")),
        (piped(exit_code=-9, status="killed"), CommandStatus("killed", 137, "make")),
        (piped(exit_code=-1, status="timed_out"), CommandStatus("timed_out", None, "make")),
        (piped(command="rm -rf x"), CommandStatus("completed", 0, "rm -rf x")),
        (piped(command=f"{RUN}make </dev/null"), CommandStatus("completed", 0, "make")),
        (
            piped(command=f"{{ {RUN}{SCRIPT}; }} </dev/null  # sort -u"),
            CommandStatus("completed", 0, "sort -u"),
        ),
    ],
    ids=[
        "running",
        "pending",
        "by SIGTERM",
        "killed",
        "time limit",
        "own",
        "earlier client",
        "payload",
    ],
)
def test_the_status_of_a_command_is_read(response: httpx.Response, status: CommandStatus) -> None:
    assert pipes.read_executed(as_reply(response)) == PipeSnapshot(status)


def test_streams_and_offsets_may_be_null() -> None:
    nothing = piped(stdout=None, stderr=None, offset=None, stderr_offset=None)

    assert pipes.read_executed(as_reply(nothing)).chunks == ()
    text = piped(stdout="é", offset=None)
    assert pipes.read_executed(as_reply(text)).chunks == (OutputChunk("é", 2, unit="bytes"),)


@pytest.mark.parametrize(
    "response",
    [piped("x" * (MAX_UNCUT + 1)), piped("head[…]tail", offset=60_000)],
    ids=["long", "with a gap"],
)
def test_a_reply_that_may_be_truncated_is_read_again_by_offset(response: httpx.Response) -> None:
    assert pipes.read_executed(as_reply(response)) == PipeSnapshot(RUNNING)


def test_output_is_read_from_the_offsets() -> None:
    reply = as_reply(piped_output("é", 12, stderr="x", stderr_end=6))

    snapshot = pipes.read_output(reply, 10, 5)

    assert snapshot == PipeSnapshot(
        RUNNING,
        (OutputChunk("é", 12, unit="bytes"), OutputChunk("x", 6, is_error=True, unit="bytes")),
        (12, 6),
    )


@pytest.mark.parametrize(("text", "gone"), [("ab", 8), ("", 10)])
def test_a_gap_before_the_text_is_reported_as_gone(text: str, gone: int) -> None:
    snapshot = pipes.read_output(as_reply(piped_output(text, 20)), 10, 0)

    assert snapshot.chunks == (OutputChunk(text, 20, gone, unit="bytes"),)


def test_replaced_bytes_are_not_a_gap() -> None:
    # Two invalid bytes become two replacement characters of three bytes each.
    snapshot = pipes.read_output(as_reply(piped_output("\ufffd\ufffd", 12)), 10, 0)

    assert snapshot.chunks == (OutputChunk("\ufffd\ufffd", 12, unit="bytes"),)


@pytest.mark.parametrize("end", [0, 9, 10])
def test_an_offset_that_does_not_advance_is_an_invalid_response(end: int) -> None:
    with pytest.raises(
        InvalidResponse, match="as offset, where the contract says the position after"
    ):
        pipes.read_output(as_reply(piped_output("ab", end)), 10, 0)


def test_a_session_that_has_run_nothing_is_empty() -> None:
    nothing = as_reply(piped_output(status=""))

    assert pipes.read_output(nothing, 0, 0) == PipeSnapshot(CommandStatus("empty"))


def test_an_offset_past_the_end_returns_the_end() -> None:
    reply = as_reply(piped_output(end=7, stderr_end=9, status="completed", exit_code=2))
    past_the_end = pipes.PAST_THE_END

    snapshot = pipes.read_output(reply, past_the_end, past_the_end)

    assert snapshot == PipeSnapshot(CommandStatus("completed", 2, "make"), ends=(7, 9))


@some_examples
@given(data=st.binary(max_size=30), cuts=st.lists(st.integers(0, 30), max_size=3))
def test_no_byte_is_lost_between_offsets(data: bytes, cuts: list[int]) -> None:
    text, offset, gone = "", 0, 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        sent = piped_output(data[offset:cut].decode(errors="replace"), cut)
        for chunk in pipes.read_output(as_reply(sent), offset, 0).chunks:
            text, offset, gone = text + chunk.text, chunk.end, gone + (chunk.gone or 0)

    assert (offset, gone) == (len(data), 0)
    assert len(text) >= len(data.decode(errors="ignore"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"status": 1}, "a number as status"),
        ({"status": "gone"}, "one of pending, running"),
        ({"status": "completed", "exit_code": "0"}, "a string as exit_code"),
        ({"status": "completed", "stdout": 1}, "a number as data.stdout"),
        ({"status": "completed", "stderr": "x", "stderr_offset": "1"}, "as stderr_offset"),
        (None, "nothing as data"),
    ],
    ids=str,
)
def test_the_error_for_a_wrong_field_names_the_field(data: object, words: str) -> None:
    reply = as_reply(httpx.Response(200, json={"success": True, "data": data}))

    with pytest.raises(InvalidResponse, match=words):
        pipes.read_executed(reply)


def test_a_reply_without_success_raises_its_message() -> None:
    refused = httpx.Response(200, json={"success": False, "message": "no room"})

    for read in (pipes.read_executed, read_done):
        with pytest.raises(ProxyFailed, match="no room"):
            read(as_reply(refused))


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_open_sessions_are_read(is_wrapped: bool) -> None:
    rows: list[dict[str, object]] = [
        {"session_id": "s1", "status": "ready", "current_command": None},
        {
            "session_id": COMMAND,
            "status": "ready",
            "current_command": f"{RUN}make </dev/null",
            "created_at": "2026-01-01T00:00:00Z",
            "last_used_at": "2026-01-02T00:00:00Z",
        },
        {"session_id": "s3", "status": "closed"},
    ]
    data = {"sessions": rows} if is_wrapped else rows
    reply = as_reply(httpx.Response(200, json={"success": True, "data": data}))

    assert pipes.read_sessions(reply) == [
        SessionRow("s1", False),
        SessionRow(COMMAND, True, "make", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
    ]


def test_a_list_of_sessions_has_to_be_an_array() -> None:
    with pytest.raises(InvalidResponse, match="a list of sessions"):
        pipes.read_sessions(as_reply(session_opened()))
