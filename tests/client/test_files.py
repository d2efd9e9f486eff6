"""Reading, listing and writing the files of an in-memory sandbox."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client import FileRefused, Paused, ProxyFailed, ProxyUnreachable, SandboxError
from sandbox_client.errors import FileChanged, NotText, RateLimited
from sandbox_client.files.remote import MAX_LINES, split_bytes

from tests.client.file_stub import LostReply, SandboxStub, file_error, file_reply, script_output
from tests.client.statuses import ALPHA_PAUSED
from tests.client.stubs import (
    FakeClock,
    client_over,
    error_reply,
    executed,
    unused_session,
    view_of,
)

if TYPE_CHECKING:
    from sandbox_client import Listing

PIECE = 72_000  # bytes in one request


async def read(sandbox: SandboxStub, path: str, first: int = 1, last: int | None = None) -> str:
    async with client_over(sandbox) as client:
        return await client.files.read("box", path, first=first, last=last)


async def listing(sandbox: SandboxStub, path: str) -> Listing:
    async with client_over(sandbox) as client:
        return await client.files.list("box", path)


async def write(
    sandbox: SandboxStub,
    path: str,
    data: bytes,
    clock: FakeClock | None = None,
    *,
    append: bool = False,
) -> None:
    async with client_over(sandbox, clock) as client:
        await client.files.write("box", path, data, append=append)


async def failure(
    sandbox: SandboxStub, data: bytes, clock: FakeClock | None = None
) -> SandboxError:
    """Write to /sandbox/f and return the error; check that nothing remains in the sandbox."""
    with pytest.raises(SandboxError) as caught:
        await write(sandbox, "f", data, clock)
    assert sandbox.leftovers() == []
    assert "/sandbox/f" not in sandbox.files
    return caught.value


async def test_a_text_file_is_read_from_the_working_directory() -> None:
    assert await read(SandboxStub({"/sandbox/a/f": "grün\n".encode()}), "a/f") == "grün\n"


async def test_lines_are_read_by_their_numbers() -> None:
    sandbox = SandboxStub({"/f": b"one\ntwo\nthree\nfour\n"})

    assert await read(sandbox, "/f", 2, 3) == "two\nthree\n"


@pytest.mark.parametrize("last", [None, 10**6])
async def test_a_read_asks_for_no_more_lines_than_a_reply_can_show(last: int | None) -> None:
    sandbox = SandboxStub({"/f": b"\n" * 9})

    await read(sandbox, "/f", 5, last)

    assert sandbox.bodies == [{"file": "/f", "start_line": 4, "end_line": 4 + MAX_LINES}]


async def test_a_first_line_past_the_end_is_an_error() -> None:
    with pytest.raises(FileRefused, match=r"/sandbox/f in sandbox 'box' ends before line 9"):
        await read(SandboxStub({"/sandbox/f": b"one\n"}), "f", 9)


async def test_an_empty_file_is_read() -> None:
    assert await read(SandboxStub({"/sandbox/f": b""}), "f") == ""


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b"], ids=["not UTF-8", "NUL"])
async def test_a_binary_file_is_refused_with_its_size(data: bytes) -> None:
    with pytest.raises(NotText, match=rf"f in sandbox 'box' is binary, not text: {len(data)} byte"):
        await read(SandboxStub({"/sandbox/f": data}), "f")


async def test_a_binary_file_is_refused_without_its_size_if_it_cannot_be_listed() -> None:
    sandbox = SandboxStub({"/sandbox/f": b"\0"})
    sandbox.replies["list"] = [file_error("permission_denied", "/sandbox", "no")]

    with pytest.raises(NotText, match=r"is binary, not text$"):
        await read(sandbox, "f")


async def test_a_directory_is_listed() -> None:
    sandbox = SandboxStub({"/sandbox/a/f": b"abc"}, {"/sandbox", "/sandbox/a", "/sandbox/a/d"})

    entries = (await listing(sandbox, "a")).entries

    assert [(each.name, each.is_directory, each.size) for each in entries] == [
        ("f", False, 3),
        ("d", True, None),
    ]


@pytest.mark.parametrize(("path", "expected"), [("/sandbox", True), ("/f", False), ("/x", None)])
async def test_only_a_directory_is_recognized_as_a_directory(
    path: str, expected: bool | None
) -> None:
    async with client_over(SandboxStub({"/f": b""})) as client:
        assert await client.files.is_directory("box", path) is expected


async def test_a_paused_sandbox_is_reported_instead_of_the_files_error() -> None:
    not_ready = error_reply(503, "Sandbox not ready")
    sandbox = SandboxStub(status=ALPHA_PAUSED, replies={"read": [not_ready]})

    with pytest.raises(Paused, match="'box' is paused; nothing was done"):
        await read(sandbox, "f")


async def test_a_file_is_written_to_a_temporary_name_and_then_renamed() -> None:
    sandbox = SandboxStub()

    await write(sandbox, "a/f", b"new")

    assert sandbox.files == {"/sandbox/a/f": b"new"}
    assert sandbox.requested == ["write", "commit"]
    assert re.fullmatch(r"/sandbox/a/\.f\.part-[0-9a-f]{8}", str(sandbox.bodies[0]["file"]))
    assert sandbox.leftovers() == []


@pytest.mark.parametrize("size", [0, PIECE, PIECE + 1, 3 * PIECE])
async def test_a_file_is_uploaded_in_pieces(size: int) -> None:
    sandbox = SandboxStub()
    data = bytes(number % 251 for number in range(size))

    await write(sandbox, "f", data)

    assert sandbox.files == {"/sandbox/f": data}
    pieces = max(1, -(-size // PIECE))
    assert sandbox.requested == ["write"] * pieces + ["commit"]
    assert [body["append"] for body in sandbox.bodies[:-1]] == [False] + [True] * (pieces - 1)


def test_bytes_are_split_into_pieces_in_order() -> None:
    assert list(split_bytes(b"abcde", 2)) == [b"ab", b"cd", b"e"]
    assert list(split_bytes(b"", 2)) == [b""]


async def test_text_is_appended_once() -> None:
    sandbox = SandboxStub({"/sandbox/log": b"old\n"})

    await write(sandbox, "log", b"new\n", append=True)

    assert sandbox.files == {"/sandbox/log": b"old\nnew\n"}


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("@0 differs", FileChanged, "differs from the file that was sent"),
        ("@0 unhashed", FileRefused, "has neither sha256sum, shasum nor python3"),
        ("@0 failed it is a directory", FileRefused, "was not written: it is a directory"),
        ("@0 failed", FileRefused, "was not written: the shell gave no reason"),
        ("noise", FileRefused, "was not written: the shell gave no reason"),
    ],
)
async def test_a_file_that_cannot_be_committed_is_an_error(
    line: str, kind: type[SandboxError], words: str
) -> None:
    sandbox = SandboxStub(replies={"commit": [script_output(line)]})

    error = await failure(sandbox, b"new")

    assert type(error) is kind
    assert words in error.message
    assert sandbox.requested == ["write", "commit", "remove"]


@pytest.mark.parametrize(
    "view",
    [unused_session(), httpx.Response(200, json={}), view_of(), error_reply(500, "no")],
    ids=["not seen", "unreadable", "runs", "failure"],
)
@pytest.mark.parametrize("lost", [LostReply(), httpx.Response(204)], ids=["lost", "unreadable"])
async def test_a_file_may_be_written_if_nothing_says_whether(
    lost: httpx.Response | Exception, view: httpx.Response
) -> None:
    sandbox = SandboxStub(replies={"commit": [lost]})

    def proxy(request: httpx.Request) -> httpx.Response:
        is_look = request.url.path.endswith("/v1/shell/view")
        return (
            httpx.Response(view.status_code, content=view.content) if is_look else sandbox(request)
        )

    async with client_over(proxy) as client:
        with pytest.raises(SandboxError) as caught:
            await client.files.write("box", "f", b"new")

    assert caught.value.message.startswith(
        "/sandbox/f in sandbox 'box' may have been written, and no answer says whether: "
    )
    assert caught.value.advice == "Read it with {read} before you write it again."
    assert not caught.value.session, "it would be one of the client's own"
    assert "session" not in caught.value.message, "nor is the command one that the user knows"
    assert sandbox.leftovers() == []


async def test_a_write_to_a_directory_is_refused() -> None:
    sandbox = SandboxStub(directories={"/sandbox", "/sandbox/f"})

    error = await failure(sandbox, b"new")

    assert error.message == "/sandbox/f in sandbox 'box' was not written: it is a directory"


async def test_a_piece_with_a_lost_reply_that_arrived_is_not_sent_again(clock: FakeClock) -> None:
    sandbox = SandboxStub(replies={"write": [None, LostReply()]})
    data = b"x" * (2 * PIECE)

    await write(sandbox, "f", data, clock)

    assert sandbox.files == {"/sandbox/f": data}
    assert (sandbox.count("write"), sandbox.count("measure")) == (2, 1)
    assert clock.slept[0] == 1.0, "the piece may arrive after its response was lost"


async def test_a_piece_that_did_not_arrive_is_sent_again(clock: FakeClock) -> None:
    sandbox = SandboxStub(replies={"write": [None, httpx.ReadError("reset")]})
    data = b"x" * (2 * PIECE)

    await write(sandbox, "f", data, clock)

    assert sandbox.files == {"/sandbox/f": data}
    assert (sandbox.count("write"), sandbox.count("measure")) == (3, 1)


async def test_a_piece_is_sent_four_times_at_most() -> None:
    sandbox = SandboxStub(replies={"write": [None, *[httpx.ReadError("reset")] * 9]})

    error = await failure(sandbox, b"x" * (2 * PIECE))

    assert isinstance(error, ProxyUnreachable)
    assert sandbox.count("write") == 1 + 4


async def test_a_piece_that_times_out_is_not_sent_four_times(clock: FakeClock) -> None:
    sandbox = SandboxStub()

    def proxy(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/file/write"):
            clock.now += 20.0
            raise httpx.ReadTimeout("late")
        return sandbox(request)

    start = clock()
    async with client_over(proxy, clock) as client:
        with pytest.raises(ProxyUnreachable):
            await client.files.write("box", "f", b"new")

    assert clock() - start < 50


@pytest.mark.parametrize("size", ["0", "7", "many"])
async def test_a_temporary_file_of_another_size_is_an_error(size: str) -> None:
    lost = httpx.ReadError("reset")
    sandbox = SandboxStub(
        replies={"write": [None, lost], "measure": [script_output(f"@0 size {size}")]}
    )

    error = await failure(sandbox, b"x" * (2 * PIECE))

    assert isinstance(error, FileChanged)
    assert f"where {PIECE} or {2 * PIECE} were expected" in error.message


async def test_the_error_of_a_lost_piece_is_raised_if_the_file_cannot_be_measured() -> None:
    sandbox = SandboxStub(
        replies={
            "write": [None, error_reply(500, "disk on fire")],
            "measure": [error_reply(403, "no access")],
        }
    )

    error = await failure(sandbox, b"x" * (2 * PIECE))

    assert isinstance(error, ProxyFailed)
    assert "disk on fire" in error.message


@pytest.mark.parametrize(("retry_after", "slept"), [({}, 1.0), ({"retry_after": "3"}, 3.0)])
async def test_a_rate_limited_piece_is_sent_again_without_a_measurement(
    retry_after: dict[str, str], slept: float, clock: FakeClock
) -> None:
    busy = error_reply(429, "slow down", **retry_after)
    sandbox = SandboxStub(replies={"write": [None, busy]})

    await write(sandbox, "f", b"x" * (2 * PIECE), clock)

    assert (sandbox.count("write"), sandbox.count("measure")) == (3, 0)
    assert clock.slept[0] == slept


@pytest.mark.parametrize(("retry_after", "requests"), [("3", 5), ("90", 2)])
async def test_a_rate_limit_that_lasts_is_an_error(retry_after: str, requests: int) -> None:
    busy = error_reply(429, "slow down", retry_after=retry_after)
    sandbox = SandboxStub(replies={"write": [None, *[busy] * 4]})

    error = await failure(sandbox, b"x" * 2 * PIECE)

    assert isinstance(error, RateLimited)
    assert sandbox.count("write") == requests, "a wait of 90 s is told, not slept"


async def test_a_refused_piece_is_not_sent_again() -> None:
    full = file_error("no_space_left", "/sandbox/f", "disk full")

    error = await failure(SandboxStub(replies={"write": [None, full]}), b"x" * 2 * PIECE)

    assert "disk full" in error.message
    assert "Make room" in error.advice


async def test_a_partially_written_piece_is_an_error() -> None:
    short = file_reply({"bytes_written": 3})
    sandbox = SandboxStub(replies={"write": [short], "measure": [script_output("@0 size 3")]})

    error = await failure(sandbox, b"12345")

    assert isinstance(error, FileChanged)


async def test_a_temporary_file_that_cannot_be_removed_is_named_in_the_advice() -> None:
    sandbox = SandboxStub(
        replies={"commit": [script_output("@0 differs")], "remove": [error_reply(403, "no")]}
    )

    with pytest.raises(FileChanged) as caught:
        await write(sandbox, "a/f", b"new")

    assert caught.value.advice.endswith("Temporary files may remain: /sandbox/a/.*.part-*")


async def test_an_error_does_not_wait_long_for_the_removal_of_a_temporary_file() -> None:
    async def refuse(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/file/write"):
            return error_reply(403, "no")
        await anyio.sleep_forever()
        raise AssertionError

    async with client_over(refuse) as client:
        files = replace(client.files, cleanup_deadline=0.01)
        with anyio.fail_after(5), pytest.raises(SandboxError) as caught:
            await files.write("box", "f", b"new")

    assert "Temporary files may remain" in caught.value.advice


async def test_a_cancelled_write_finishes_its_piece_and_removes_the_temporary_file() -> None:
    sandbox = SandboxStub()
    with anyio.CancelScope() as scope:

        def proxy(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/file/write"):
                scope.cancel()
            return sandbox(request)

        async with client_over(proxy) as client:
            await client.files.write("box", "f", b"x" * (3 * PIECE))

    assert scope.cancelled_caught
    assert sandbox.requested == ["write", "remove"]
    assert sandbox.files == {}
    assert sandbox.leftovers() == []


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (executed("half of it", None, "terminated"), r"failed \(killed\): half of it"),
        (executed("", None, "terminated"), r"failed \(killed\): it printed nothing"),
        (executed("sh: not found\n"), "ended early: sh: not found"),
    ],
    ids=["killed", "killed silently", "without its last line"],
)
async def test_a_script_that_ends_early_is_an_error_and_its_session_is_closed(
    reply: httpx.Response, words: str
) -> None:
    sandbox = SandboxStub(replies={"commit": [reply]})

    error = await failure(sandbox, b"new")

    assert isinstance(error, FileRefused)
    assert re.search(words, error.message)
    assert sandbox.sessions == set()
