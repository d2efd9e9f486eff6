"""A proxy that restarts during a copy, or does not come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from sandbox_client import ProxyFailed, ProxyUnreachable, SandboxError, SandboxNotFound
from sandbox_client.errors import (
    CommandStateUnknown,
    DeadlineExceeded,
    InvalidResponse,
    NotSent,
    Paused,
    RuntimeSilent,
    SandboxDeleted,
    SessionLost,
)
from sandbox_client.files.copy import Copy
from sandbox_client.files.model import CopyListener
from sandbox_client.files.outage import OUTAGE_LIMIT, Outage

from tests.client.file_stub import SandboxStub
from tests.client.statuses import ALPHA_PAUSED
from tests.client.stubs import FakeClock, client_over, executed, html_page, timing_on

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from sandbox_client.files.model import FileEntry


@dataclass
class RestartingProxy:
    """A proxy that is down for some seconds from the request with the number `stops_at` on."""

    sandbox: SandboxStub
    stops_at: int
    seconds: float = 20.0
    page: httpx.Response | None = None  # of the load balancer; None refuses connections
    clock: FakeClock = field(default_factory=FakeClock)
    count: int = 0
    _back_at: float = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        if self.count == self.stops_at:
            self._back_at = self.clock.now + self.seconds
        if self.clock.now >= self._back_at:
            return self.sandbox(request)
        if self.page is None:
            raise httpx.ConnectError("refused")
        return self.page


class Recorder(CopyListener):
    """Records outages, temporary files that may remain, and the copied bytes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.leftovers: list[str] = []
        self.bytes = 0

    def transferred(self, entry: FileEntry, size: int) -> None:
        self.bytes += size

    def unanswered(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def left_behind(self, pattern: str) -> None:
        self.leftovers.append(pattern)


async def upload(proxy: RestartingProxy, source: Path) -> Recorder:
    recorder = Recorder()
    async with client_over(proxy, proxy.clock) as client:
        await Copy(client.files, "box", recorder).upload([str(source)], "new")
    return recorder


async def download(proxy: RestartingProxy, target: Path) -> None:
    async with client_over(proxy, proxy.clock) as client:
        await Copy(client.files, "box", CopyListener()).download(["tree"], str(target))


def make_tree(folder: Path) -> dict[str, bytes]:
    files = {"a": b"1", "b": b"2", "large": bytes(range(256)) * 800}
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return files


@pytest.mark.parametrize("page", [None, html_page(503)], ids=["refused", "503"])
async def test_an_upload_survives_a_restart_at_any_request(
    tmp_path: Path, page: httpx.Response | None
) -> None:
    files = make_tree(tmp_path / "tree")
    complete = RestartingProxy(SandboxStub(), stops_at=0)
    await upload(complete, tmp_path / "tree")

    for number in range(2, complete.count - 2):  # the last ones only close a session
        proxy = RestartingProxy(SandboxStub(), number, page=page)
        recorder = await upload(proxy, tmp_path / "tree")

        assert proxy.clock.now >= 1_000 + 20
        assert recorder.bytes == sum(map(len, files.values()))
        assert proxy.sandbox.files == {f"/sandbox/new/{name}": files[name] for name in files}


@pytest.mark.parametrize("page", [None, html_page(503)], ids=["refused", "503"])
async def test_a_download_survives_a_restart_at_any_request(
    tmp_path: Path, page: httpx.Response | None
) -> None:
    files = make_tree(tmp_path / "tree")

    def sandbox() -> SandboxStub:
        content = {f"/sandbox/tree/{name}": data for name, data in files.items()}
        return SandboxStub(content, {"/", "/sandbox", "/sandbox/tree", "/home/gem"})

    complete = RestartingProxy(sandbox(), stops_at=0)
    await download(complete, tmp_path / "back0")

    for number in range(2, complete.count - 5):  # the last ones remove the scratch directory
        await download(RestartingProxy(sandbox(), number, page=page), tmp_path / f"back{number}")

        copied = {path.name: path.read_bytes() for path in (tmp_path / f"back{number}").iterdir()}
        assert copied == files


async def test_a_proxy_that_does_not_come_back_ends_the_copy_with_the_way_back(
    tmp_path: Path,
) -> None:
    make_tree(tmp_path / "tree")
    proxy = RestartingProxy(SandboxStub(), stops_at=8, seconds=10_000)

    with pytest.raises(ProxyUnreachable) as caught:
        await upload(proxy, tmp_path / "tree")

    assert OUTAGE_LIMIT <= proxy.clock.now - 1_000 < 2 * OUTAGE_LIMIT
    error = caught.value
    assert "it had answered this copy before" in error.cause
    assert "No file is incomplete: each is as it was, or complete" in error.advice
    assert "{check}" in error.advice
    assert "repeat the copy" in error.advice
    assert "Temporary files may remain: /sandbox/new/.*.part-*" in error.advice
    assert "proxyUrl" not in error.advice
    assert "{list}" not in error.advice


@pytest.mark.parametrize("stops_at", [6, 8])
async def test_an_outage_is_reported_until_the_proxy_answers(tmp_path: Path, stops_at: int) -> None:
    make_tree(tmp_path / "tree")

    recorder = await upload(RestartingProxy(SandboxStub(), stops_at), tmp_path / "tree")

    *silent, last = recorder.seconds
    assert silent == sorted(silent, reverse=True)
    assert OUTAGE_LIMIT >= silent[0] > silent[-1] >= OUTAGE_LIMIT - 20
    assert last == 0


class SilentProxy:
    """A proxy that accepts requests and answers none from the first one of `route` on."""

    def __init__(self, sandbox: SandboxStub, route: str, count: int) -> None:
        self.sandbox, self._route, self._count = sandbox, route, count
        self.is_silent = anyio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(self._route):
            self._count -= 1
        if self._count > 0:
            return self.sandbox(request)
        self.is_silent.set()
        await anyio.sleep_forever()
        raise AssertionError


async def cancel_when_silent(
    proxy: SilentProxy, work: Callable[[Copy], Coroutine[Any, Any, None]]
) -> Recorder:
    """Cancel a copy when the proxy falls silent; it must end soon, without its answers."""
    recorder, start = Recorder(), 0.0
    async with client_over(proxy) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(work, Copy(client.files, "box", recorder))
        await proxy.is_silent.wait()
        start = anyio.current_time()
        tasks.cancel_scope.cancel()
    assert anyio.current_time() - start < 3
    return recorder


@pytest.mark.parametrize(("route", "count"), [("write", 1), ("write", 4), ("exec", 1), ("exec", 3)])
async def test_a_cancelled_upload_does_not_wait_for_the_proxy(
    tmp_path: Path, route: str, count: int
) -> None:
    make_tree(tmp_path / "tree")
    proxy = SilentProxy(SandboxStub(), route, count)

    recorder = await cancel_when_silent(
        proxy, lambda copy: copy.upload([str(tmp_path / "tree")], "new")
    )

    assert "/sandbox/new/.*.part-*" in recorder.leftovers


@pytest.mark.parametrize(("route", "count"), [("exec", 1), ("exec", 2), ("read", 2)])
async def test_a_cancelled_download_does_not_wait_for_the_proxy(
    tmp_path: Path, route: str, count: int
) -> None:
    content = {f"/sandbox/tree/{name}": b"x" for name in "ab"}
    sandbox = SandboxStub(content, {"/", "/sandbox", "/sandbox/tree", "/home/gem"})

    recorder = await cancel_when_silent(
        SilentProxy(sandbox, route, count),
        lambda copy: copy.download(["tree"], str(tmp_path / "new")),
    )

    assert recorder.leftovers == ["~/.remote-sandbox-*"]


@pytest.mark.parametrize("number", [4, 7, 8, 9])
async def test_an_outage_that_lasts_is_named_by_its_last_reason(
    tmp_path: Path, number: int
) -> None:
    make_tree(tmp_path / "tree")
    sandbox, clock, count = SandboxStub(), FakeClock(), 0

    def break_off(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        if count == number:
            raise httpx.ReadError("the first reason")
        if count > number:
            raise httpx.ConnectError("the last reason")
        return sandbox(request)

    with pytest.raises(SandboxError, match="cannot be reached"):
        async with client_over(break_off, clock) as client:
            await Copy(client.files, "box", CopyListener()).upload([str(tmp_path / "tree")], "new")


async def test_a_proxy_that_never_answered_ends_the_copy_at_once(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    proxy = RestartingProxy(SandboxStub(), stops_at=1)

    with pytest.raises(NotSent) as caught:
        await upload(proxy, tmp_path / "tree")

    assert proxy.clock.now - 1_000 < 3
    assert caught.value.cause == NotSent.cause


async def test_a_tool_has_no_copy_to_speak_of_after_an_answer() -> None:
    outage = Outage(timing_on(FakeClock()))  # as of a client, for all its calls

    await outage.survive(_answer)

    assert outage.has_answered
    assert not outage.is_copy_under_way


async def test_a_copy_whose_sandbox_is_deleted_says_so() -> None:
    outage = Outage(timing_on(FakeClock()), OUTAGE_LIMIT)
    await outage.survive(_answer)

    error = outage.explain(SandboxNotFound("No sandbox 'box' of yours"), "box")

    assert isinstance(error, SandboxDeleted)
    assert error.message.startswith("Sandbox 'box' was deleted while the copy ran")


async def _answer() -> str:
    return ""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (DeadlineExceeded("late"), "the network, or a proxy that is busy or hangs"),
        (InvalidResponse("an HTML page"), "the proxy, or a server in front of it"),
        (RuntimeSilent("its runtime does not answer yet; x"), "the sandbox's runtime"),
    ],
)
async def test_the_end_of_a_copy_doubts_nothing_that_has_answered_it(
    error: SandboxError, cause: str
) -> None:
    outage = Outage(timing_on(FakeClock()), OUTAGE_LIMIT)
    await outage.survive(_answer)

    explained = outage.explain(error, "box")

    assert explained.cause.startswith(cause)
    assert explained.cause.endswith(": it had answered this copy before.")
    assert "repeat the copy" in explained.advice
    assert "proxyUrl" not in explained.advice
    assert "yet" not in explained.message


async def test_an_answer_that_cannot_be_read_is_no_outage(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    page, recorder = html_page(200), Recorder()
    sandbox = SandboxStub(replies={"write": [None, page], "measure": [page]})

    async with client_over(sandbox, FakeClock()) as client:
        await Copy(client.files, "box", recorder).upload([str(tmp_path / "tree")], "new")

    assert sandbox.count("measure") == 2
    assert recorder.seconds == []


async def test_a_pause_during_a_copy_does_not_say_that_nothing_was_done(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    unready = httpx.Response(503, json={"error": "x", "message": "Sandbox not ready"})
    sandbox = SandboxStub(status=ALPHA_PAUSED, replies={"write": [None, unready]})

    with pytest.raises(Paused, match="is paused; the copy ended early"):
        await upload(RestartingProxy(sandbox, stops_at=0), tmp_path / "tree")


@pytest.mark.parametrize(
    ("error", "is_idempotent", "attempts"),
    [
        (CommandStateUnknown("unknown"), True, 2),
        (CommandStateUnknown("unknown"), False, 1),
        (SessionLost("the runtime was restarted"), True, 2),
        (SessionLost("the runtime was restarted"), False, 1),
        (ProxyFailed("502", status=502), False, 2),
        (ProxyFailed("500", status=500), True, 1),
        (NotSent("refused"), False, 2),
    ],
)
async def test_only_what_is_safe_is_repeated(
    error: SandboxError, is_idempotent: bool, attempts: int
) -> None:
    count = 0

    async def attempt() -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise error

    outage = Outage(timing_on(FakeClock()), OUTAGE_LIMIT)
    outage.has_answered = True
    if attempts == 1:
        with pytest.raises(type(error)):
            await outage.survive(attempt, is_idempotent=is_idempotent)
    else:
        await outage.survive(attempt, is_idempotent=is_idempotent)
    assert count == attempts


# A command is running, and its session is gone when it is read.
LOST = executed(status="running", exit_code=None)


@pytest.mark.parametrize("script", ["commit", "unpack", "make_directories"])
async def test_an_upload_repeats_a_script_that_a_restart_of_the_runtime_has_ended(
    tmp_path: Path, script: str
) -> None:
    files = make_tree(tmp_path / "tree")
    sandbox = SandboxStub(replies={script: [LOST]})

    await upload(RestartingProxy(sandbox, stops_at=0), tmp_path / "tree")

    assert sandbox.files == {f"/sandbox/new/{name}": files[name] for name in files}


@pytest.mark.parametrize("script", ["scan", "archive", "pack"])
async def test_a_download_repeats_a_script_that_a_restart_of_the_runtime_has_ended(
    tmp_path: Path, script: str
) -> None:
    files = make_tree(tmp_path / "tree")
    content = {f"/sandbox/tree/{name}": data for name, data in files.items()}
    directories = {"/", "/sandbox", "/sandbox/tree", "/home/gem"}
    sandbox = SandboxStub(content, directories, replies={script: [LOST]})

    await download(RestartingProxy(sandbox, stops_at=0), tmp_path / "back")

    assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == files
