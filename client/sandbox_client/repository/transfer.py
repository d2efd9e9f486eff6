"""The steps of a push or pull that use the sandbox: scripts and bundles; git in threads.

Git and the checks run in worker threads, and a cancellation ends the git processes. A bundle is in
a scratch directory of the sandbox's HOME, which is removed at the end. Each step may be repeated,
so an outage of the proxy is survived. A repeated push or pull goes on after the part that has
arrived; the whole is checked by its SHA-256.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from sandbox_client.api import files as file_api
from sandbox_client.api.runtime import quote
from sandbox_client.api.sandboxes import WORK
from sandbox_client.errors import (
    NOTHING_DONE,
    ProxyFailed,
    ProxyUnreachable,
    SandboxError,
)
from sandbox_client.files import shell_scripts
from sandbox_client.files.download import Download
from sandbox_client.files.local import local_errors
from sandbox_client.files.model import CopyListener, FileEntry
from sandbox_client.files.remote import new_token
from sandbox_client.text import format_size, last_line

from . import sandbox_answers, sandbox_scripts
from .bundle import sha256_of
from .process import Interrupt
from .transfer_note import incoming_note

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sandbox_client.files.remote import Files

    from .bundle import BundleFile
    from .sandbox_answers import Checked, Exported
    from .store import Store
    from .transfer_note import TransferNote

T = TypeVar("T")

DEADLINE = 3_600.0  # seconds of a script: a bucket takes its time for thousands of files
START_DEADLINE = 10.0  # seconds until a script's session shows whether it was started
MAX_COMMAND = 4_000  # characters: a longer line does not reach a terminal as a whole
_SCRATCH = re.compile(rf"\.remote-sandbox-{shell_scripts.HEX_TOKEN}")
_MEASURED = re.compile(r"^\s*(?P<size>[0-9]{1,15})\s+(?P<sha256>[0-9a-f]{64})\b", re.MULTILINE)
_NO_SCRIPT = "remote-sandbox: no script"  # is printed after a restart, which empties the home
_SCRIPT_ATTEMPTS = 3
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass
class Transfer:
    """One push or pull; `on_activity` is called with each new `activity`, the current step."""

    name: str
    files: Files
    on_activity: Callable[[str], None]
    verb: str = "push"
    activity: str = ""
    interrupt: Interrupt = field(default_factory=Interrupt)
    store: Store = field(init=False)
    _scratch: str = field(default_factory=lambda: f".remote-sandbox-{new_token()}")
    _leftovers: set[str] = field(default_factory=set[str])  # scratch directories in the sandbox
    has_sent: bool = field(default=False, init=False)  # a part of a bundle
    may_have_run: bool = field(default=False, init=False)  # a script of this activity, unanswered

    def directory(self, given: str | None) -> str:
        """Return the directory in the sandbox: as given, as before, or named as the repository.

        Raises:
            RepositoryRefused: another worktree of the repository was sent there.
        """
        before = None if given else self.store.load_own(self.name)
        name = _NOT_IN_A_NAME.sub("-", posixpath.basename(self.store.repository.top)).strip("-.")
        default = before.directory if before else f"{WORK}/{name or 'repository'}"
        directory = given or default
        self.store.require_own(self.name, directory)
        return directory

    def begin(self, activity: str) -> None:
        """Set the current activity, and report it."""
        self.activity, self.may_have_run = activity, False
        self.on_activity(activity)

    async def in_thread(self, work: Callable[[], T], *, to_end: bool = False) -> T:
        """Run `work` in a worker thread; a cancellation ends its git processes.

        With `to_end`, a cancellation waits for its end instead.
        """
        results: list[T] = []
        failures: list[Exception] = []

        def run() -> None:
            try:
                results.append(work())
            except Exception as error:  # noqa: BLE001  # raised below, outside of the task group
                failures.append(error)

        async def stop_if_cancelled() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                if not (to_end or results or failures):
                    self.interrupt.stop()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop_if_cancelled)
            await anyio.to_thread.run_sync(run)
            tasks.cancel_scope.cancel()
        await anyio.lowlevel.checkpoint()
        if failures:
            raise failures[0]
        return results[0]

    @contextlib.asynccontextmanager
    async def managed(self, manager: AbstractContextManager[T]) -> AsyncGenerator[T]:
        """Enter and leave a context manager in worker threads."""
        stack = contextlib.ExitStack()
        try:
            yield await self.in_thread(partial(stack.enter_context, manager))
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(stack.close)

    async def check(self, directory: str, program: str = "") -> Checked:
        """Check the git of the sandbox, a program, and the content of a directory.

        Raises:
            RepositoryRefused: it has no git, or one that is too old.
        """
        self.begin("looking at the sandbox")
        output = await self.run(sandbox_scripts.check(directory, program))
        return sandbox_answers.read_checked(output, self.verb)

    @property
    def bundle(self) -> str:
        """The bundle in the sandbox, as the scripts take it."""
        return f"~/{self._scratch}/bundle"

    async def remove_scratch(self) -> None:
        """Remove the scratch directories of the sandbox, also in a cancelled task."""
        if self._leftovers:
            script = shell_scripts.remove_scratch(*sorted(self._leftovers))
            with anyio.move_on_after(10, shield=True), contextlib.suppress(SandboxError):
                await self.files.one_shot.run(self.name, WORK, script)

    async def run(self, command: str) -> str:
        """Run a script, from a file if it is too long for a line of a terminal."""
        if len(command) <= MAX_COMMAND:
            return await self._run_line(command)
        self._leftovers.add(self._scratch)
        data = command.encode()
        path = f"{file_api.HOME}/{self._scratch}/run"
        request = file_api.write(self.name, path, data, append=False)

        async def write() -> None:
            file_api.read_written(await self.files.send(request), len(data))

        script = f'"$HOME"/{self._scratch}/run'
        line = f"if [ -f {script} ]; then bash {script}; else echo {quote(_NO_SCRIPT)}; fi"
        for _ in range(_SCRIPT_ATTEMPTS):
            output = await self._run_line(line, write)
            if last_line(output) != _NO_SCRIPT:
                return output
        raise sandbox_answers.refusal("no-script", verb=self.verb)

    async def _run_line(
        self, line: str, prepare: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint
    ) -> str:
        """Run a line that may be repeated, after `prepare`; both are repeated in an outage."""

        async def run() -> str:
            await prepare()
            try:
                return await self.files.one_shot.run(self.name, WORK, line, DEADLINE)
            except NOTHING_DONE:
                raise
            except SandboxError:
                self.may_have_run = True
                raise

        return await self.files.outage.survive(run)

    async def upload(self, bundle: BundleFile, note: TransferNote) -> None:
        """Send a bundle; go on where an outage, or the end of a process, broke an upload off."""
        self.begin("sending the repository")
        start = await self._resume(bundle, note.read())
        note.write(self._scratch)
        await self._send_from(bundle, start, may_stay=note.is_mine)
        note.write("")  # a script may use it now

    async def _send_from(self, bundle: BundleFile, start: int, *, may_stay: bool) -> None:
        """Send a bundle from a position on; after an outage, the part stays if it may."""
        base = f"{file_api.HOME}/{self._scratch}"
        self._leftovers.add(self._scratch)
        self.has_sent = True

        def pieces() -> Iterator[bytes]:
            with bundle.path.open("rb") as file:
                file.seek(start)
                while piece := file.read(self.files.piece_size(base, "bundle")):
                    done = file.tell() - len(piece)
                    self.activity = f"sending {format_size(done)} of {format_size(bundle.size)}"
                    yield piece

        try:
            await self.files.upload(self.name, base, "bundle", pieces(), start=start)
        except (ProxyUnreachable, ProxyFailed):
            if may_stay:
                self._leftovers.discard(self._scratch)
            raise

    async def _resume(self, bundle: BundleFile, scratch: str) -> int:
        """Take the scratch directory of an earlier upload; return the size of its part.

        It is 0 if the part differs from the bundle.
        """
        if not _SCRATCH.fullmatch(scratch):
            return 0
        self._scratch = scratch
        line = f'cd "$HOME"/{scratch} && wc -c <bundle && sha256sum <bundle; :'
        found = _MEASURED.search(await self._run_line(line))
        size = int(found["size"]) if found else 0
        if not found or size > bundle.size:
            return 0
        sha256 = await self.in_thread(partial(sha256_of, bundle.path, size))
        return size if sha256 == found["sha256"] else 0

    @contextlib.contextmanager
    def incoming(self, directory: str) -> Generator[TransferNote]:
        """Yield the note of a pull from `directory`, and take the scratch directory that it names.

        After an outage, both stay for the next pull.
        """
        store = self.store
        note = incoming_note(store.repository.store_dir, store.proxy, self.name, directory)
        with contextlib.closing(note), contextlib.ExitStack() as at_end:
            at_end.callback(shutil.rmtree, note.folder, ignore_errors=True)
            scratch = note.read().partition(" ")[0]
            if _SCRATCH.fullmatch(scratch):
                self._scratch = scratch
            else:
                note.write(self._scratch)
            try:
                yield note
            except (ProxyUnreachable, ProxyFailed):
                self._leftovers.discard(self._scratch)
                at_end.pop_all()
                raise

    async def download(self, exported: Exported, note: TransferNote) -> Path:
        """Fetch the bundle after the part of it that is here; `incoming` checks the whole.

        Raises:
            FileRefused: it cannot be read.
            FileChanged: it has another size than the sandbox said.
        """
        path, size = note.folder / "bundle", exported.size
        text = f"{self._scratch} {exported.sha256}"
        with local_errors(str(path), "written"), path.open("ab") as file:
            is_same = note.read() == text
            first = min(file.tell(), size) // shell_scripts.BLOCK_SIZE if is_same else 0
            file.truncate(first * shell_scripts.BLOCK_SIZE)
            note.write(text)

        def write(block: bytes) -> None:
            with local_errors(str(path), "written"), path.open("ab") as file:
                file.write(block)
                done = format_size(file.tell())
            self.activity = f"fetching {done} of {format_size(size)}"

        entry = FileEntry(f"{self._scratch}/bundle", size, 0o600)
        download = Download(self.files, self.name, CopyListener())
        await download.rest(entry, f"{self._scratch}/{new_token()}", first, write)
        return path
