"""The byte streams of the MCP server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sandbox_client.mcp_server import pipe
from sandbox_client.mcp_server.pipe import LineBuffer, Pipe

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_bytes_in_pieces_become_lines(size: int) -> None:
    data = b"first\n\n" + b"long" * 20 + b"\nrest"
    buffer = LineBuffer()
    lines: list[bytes] = []

    for start in range(0, len(data), size):
        buffer.add(data[start : start + size])
        lines += buffer.lines()

    assert lines == [b"first\n", b"\n", b"long" * 20 + b"\n"]
    assert buffer.take() == b"rest"
    buffer.add(b"next\n")
    assert [*buffer.lines()] == [b"next\n"]


def test_a_long_line_is_found_in_linear_time() -> None:
    buffer = LineBuffer()
    began = time.process_time()

    for _ in range(100_000):
        buffer.add(b"x" * 100)
        assert [*buffer.lines()] == []

    assert time.process_time() - began < 10, "quadratic time would be a minute"


@pytest.fixture
def ends() -> Iterator[tuple[int, int, int, int]]:
    """Two system pipes: the ends of an input and then of an output, for reading and writing."""
    ends = (*os.pipe(), *os.pipe())
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:  # the test has closed it
            continue


def test_responses_are_written_while_lines_are_read(ends: tuple[int, int, int, int]) -> None:
    reading, input_, output, writing = ends
    ours = Pipe(reading, writing)
    os.write(input_, b"one\ntwo")
    lines = ours.lines()

    assert next(lines) == b"one\n"
    ours.outbox += b"1\n"
    os.close(input_)
    assert [*lines] == [b"two"]
    assert os.read(output, 9) == b"1\n"


def test_flush_writes_without_waiting(ends: tuple[int, int, int, int]) -> None:
    reading, _, output, writing = ends
    ours = Pipe(reading, writing)
    ours.outbox += b"x" * 1_000_000

    ours.flush()

    assert 0 < len(ours.outbox) < 1_000_000
    assert os.read(output, 9) == b"x" * 9


def test_closed_output_is_the_end_while_input_is_open(ends: tuple[int, int, int, int]) -> None:
    reading, input_, output, writing = ends
    os.write(input_, b"half a line")
    os.close(output)

    assert [*Pipe(reading, writing).lines()] == []


def test_output_that_is_not_read_is_dropped_some_time_after_the_input(
    ends: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "FAREWELL", 0.01)
    reading, input_, _, writing = ends
    ours = Pipe(reading, writing)
    ours.outbox += b"x" * 1_000_000
    os.close(input_)

    assert [*ours.lines()] == []


@pytest.mark.parametrize("broken", ["input", "output"])
def test_a_stream_that_fails_is_the_end(
    ends: tuple[int, int, int, int], tmp_path: Path, broken: str
) -> None:
    reading, _, _, writing = ends
    path = tmp_path / "file" if broken == "input" else Path("/dev/full")
    with path.open("wb") as file:
        ours = Pipe(*((file.fileno(), writing) if broken == "input" else (reading, file.fileno())))
        ours.outbox += b"x"
        assert [*ours.lines()] == []

    assert ours.outbox == b""


STRAY = """
import os, sys
from sandbox_client.mcp_server.pipe import reserve_streams
reading, writing = reserve_streams()
print("stray", sys.stdin.read(), flush=True)
os.system("cat; echo child")
print("late")
os.write(writing, os.read(reading, 9))
"""


@pytest.mark.parametrize("closed", ["", "2>&-"])
def test_only_messages_reach_standard_output(closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, STRAY],
        input=b"message\n",
        capture_output=True,
        check=True,
    )

    assert done.stdout == b"message\n"
    assert done.stderr == (b"" if closed else b"stray \nchild\nlate\n")
