"""The sessions of a sandbox: open one for a command, find one, list them.

A session belongs to the pipe API or to the terminal API of the runtime. The runtime of a sandbox
may lack the pipe API, which is remembered for PIPES_RETRY_DELAY.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox_client.api import pipes, shell
from sandbox_client.api.runtime import check_session
from sandbox_client.errors import InvalidInput, NoSuchAPI, SandboxError, SessionNotFound

from .pipes import PipeCommand
from .remote_command import INTERNAL_PREFIX, explain_unreadable
from .terminal import TerminalCommand, busy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from typing import Literal

    from sandbox_client.api.message import Reply, Request
    from sandbox_client.api.runtime import SessionRow
    from sandbox_client.polling import Timing
    from sandbox_client.sandboxes import Sandboxes

    from .follower import OutputFollower
    from .remote_command import RemoteCommand

PIPES_RETRY_DELAY = 300.0  # seconds until a runtime without pipes is asked for them again
_PIPE_PREFIXES = ("command-", INTERNAL_PREFIX)


def new_session(kind: Literal["command", "prompt"]) -> str:
    """Return a new id of a session for the pipe API or for the terminal."""
    return f"{kind}-{secrets.token_hex(4)}"


def check_named_session(session: str, time_limit: float | None) -> None:
    """Check the id of a session that the user names.

    Raises:
        InvalidInput: the id is invalid or reserved, or there is a time limit.
    """
    check_session(session)
    if session.startswith(_PIPE_PREFIXES):
        raise InvalidInput(
            f"'{session}' is the id of a session that runs one command alone",
            advice="Give an id that does not begin with command- or files-, or leave it out.",
        )
    if time_limit is not None:
        raise InvalidInput(
            f"A time limit was given with session '{session}'",
            advice="Leave one of them out: a shell that stays has no time limit.",
        )


@dataclass(frozen=True)
class Sessions:
    """The sessions of `sandboxes`; see `Prompts` for `new_id` and `new_mark`."""

    sandboxes: Sandboxes
    timing: Timing
    new_id: Callable[[Literal["command", "prompt"]], str]
    new_mark: Callable[[], str]
    _starting: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]], repr=False)

    async def rows(self, name: str, *, internal: bool = False) -> list[tuple[SessionRow, bool]]:
        """Return the sessions of a sandbox, the newest first, and whether each has pipes.

        Sessions of this client's own scripts are left out, unless `internal`.
        """
        rows = [(row, True) for row in await self._of_pipes(name)]
        reply = await self._request(shell.list_sessions(name))
        rows += [(row, False) for row in shell.read_sessions(reply)]
        if not internal:
            rows = [each for each in rows if not each[0].id.startswith(INTERNAL_PREFIX)]
        return sorted(rows, key=lambda each: _started_at(*each), reverse=True)

    @contextlib.contextmanager
    def reserve(self, name: str, session: str | None) -> Generator[None]:
        """Reserve a session while a command is started there, against others of this client.

        Raises:
            SessionBusy: another command is being started there.
        """
        if not session:
            yield
            return
        key = name, session
        if key in self._starting:
            raise busy(name, session, "another command")
        self._starting.add(key)
        try:
            yield
        finally:
            self._starting.remove(key)

    async def open(
        self, name: str, session: str | None, follower: OutputFollower, *, new_id: str = ""
    ) -> RemoteCommand:
        """Open a session, with pipes if the runtime has them and the user has not named it."""
        if not session and self.may_have_pipes(name):
            command = PipeCommand(self.sandboxes, name, new_id or self.new_id("command"), follower)
            try:
                await command.open()
            except NoSuchAPI:
                self._note_without_pipes(name)
            else:
                return command
        remote = TerminalCommand(
            self.sandboxes,
            name,
            session or new_id or self.new_id("prompt"),
            follower,
            mark=self.new_mark() if session else "",
        )
        await remote.open()
        return remote

    async def find(
        self,
        name: str,
        session: str,
        follower: OutputFollower,
        *,
        after: int = 0,
        stderr_after: int = 0,
        look: Callable[[RemoteCommand], Awaitable[None]],
    ) -> RemoteCommand:
        """Return the command of a session of either API after a first `look`.

        Raises:
            SessionNotFound: neither API has the session.
        """
        piped = PipeCommand(
            self.sandboxes, name, session, follower, after=after, stderr_after=stderr_after
        )
        candidates: list[RemoteCommand] = [
            TerminalCommand(self.sandboxes, name, session, follower, after=after)
        ]
        is_of_pipes = session.startswith(_PIPE_PREFIXES)
        has_pipes = self.may_have_pipes(name)
        if is_of_pipes or has_pipes:
            candidates.insert(0 if is_of_pipes and has_pipes else 1, piped)
        not_found: SandboxError | None = None
        for remote in candidates:
            try:
                await look(remote)
            except SessionNotFound as error:
                not_found = not_found or error
            except NoSuchAPI as error:
                if remote is not piped:
                    raise
                self._note_without_pipes(name)
                not_found = not_found or error
            else:
                return remote
        if isinstance(not_found, SessionNotFound):
            raise not_found
        raise SessionNotFound(f"Sandbox '{name}' has no such session: {session}")

    def may_have_pipes(self, name: str) -> bool:
        """Return whether to try the pipe API: its absence is remembered for PIPES_RETRY_DELAY."""
        tried_at = self.sandboxes.without_pipes.get(name)
        return tried_at is None or self.timing.clock() - tried_at >= PIPES_RETRY_DELAY

    def _note_without_pipes(self, name: str) -> None:
        self.sandboxes.without_pipes[name] = self.timing.clock()

    async def _of_pipes(self, name: str) -> list[SessionRow]:
        if not self.may_have_pipes(name):
            return []
        try:
            reply = await self._request(pipes.list_sessions(name))
        except NoSuchAPI:
            self._note_without_pipes(name)
            return []
        return pipes.read_sessions(reply)

    async def _request(self, request: Request) -> Reply:
        try:
            return await self.sandboxes.proxy.send(request)
        except SandboxError as error:
            raise await explain_unreadable(self.sandboxes, request.sandbox, error) from None


def _started_at(row: SessionRow, has_pipes: bool) -> str:
    """Return about when the last command of a session was started.

    A session with pipes has one command, and reading its output counts as a use.
    """
    return (row.created_at or row.used_at) if has_pipes else (row.used_at or row.created_at)
