"""The wait for a command: its limit, its progress reports and the new output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_client.text import last_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox_client.errors import SandboxError
    from sandbox_client.output import OutputChunk
    from sandbox_client.polling import ProgressCallback, Timing

    OnOutput = Callable[[OutputChunk], None]
    OnSession = Callable[[str], None]

FIRST_LOOK = 0.02  # seconds
LONGEST_PAUSE = 1.0  # seconds
_RECENT = 40_000  # characters of output that are kept to report the last line
LAST_LINE = "last line"  # a prefix that tells output from messages of the client
UNREACHABLE = "the command cannot be reached"
MIN_WAIT = 0.001  # seconds: a shorter remainder of a wait counts as none
GIVE_UP_AFTER = 600.0  # seconds without an answer, after which a command is no longer followed


def _ignore(_: object) -> None:
    """Ignore an event."""


@dataclass(frozen=True)
class OutputListener:
    """The callbacks for the progress of a command, the id of its session and its new output."""

    on_progress: ProgressCallback
    on_session: OnSession = _ignore
    on_output: OnOutput = _ignore

    @classmethod
    def of(
        cls,
        on_progress: ProgressCallback,
        on_session: OnSession | None,
        on_output: OnOutput | None,
    ) -> OutputListener:
        """Return a listener with these callbacks; None ignores the event."""
        return cls(on_progress, on_session or _ignore, on_output or _ignore)


class OutputFollower:
    """Follow a command for `limit` seconds, without a limit if None, and notify the listener.

    The API key `secret` and other `secrets` are masked in the output. It is given up
    `give_up_after` seconds after the last answer. `activity` describes the wait until the command's
    state is known.
    """

    def __init__(
        self,
        timing: Timing,
        limit: float | None,
        listener: OutputListener,
        *,
        secret: str = "",
        secrets: Sequence[str] = (),
        give_up_after: float = GIVE_UP_AFTER,
    ) -> None:
        self.timing = timing
        self.secret = secret
        self.secrets = tuple(secrets)
        self.activity = "looking for the command"
        self.is_running = False
        self.has_output = False
        self._start = self._read_at = timing.clock()
        self._read_error = ""
        self._limit = limit
        self._give_up_after = give_up_after
        self._listener = listener
        self._recent = ""

    @property
    def elapsed(self) -> float:
        """The seconds since the start."""
        return self.timing.clock() - self._start

    @property
    def remaining(self) -> float:
        """The seconds until the limit."""
        return float("inf") if self._limit is None else self._limit - self.elapsed

    @property
    def read_error(self) -> str:
        """The reason why the command cannot be read now; empty if it can."""
        return self._read_error

    @read_error.setter
    def read_error(self, reason: str) -> None:
        self._read_error = reason
        if not reason:
            self._read_at = self.timing.clock()

    @property
    def unread_for(self) -> float:
        """The seconds since the command could be read; 0 if it can."""
        return self.timing.clock() - self._read_at if self._read_error else 0.0

    async def may_retry(self, error: SandboxError) -> bool:
        """Wait as long as the proxy asks after a failed look; return False to give up.

        A wait that is longer than the rest of the limit, or than `give_up_after`, is not begun.
        """
        pause = error.retry_after or 0.0
        if self.unread_for + pause >= self._give_up_after or pause > self.remaining:
            return False
        if pause:
            await self.timing.sleep(pause)
        return True

    def wait_for(self, seconds: float) -> None:
        """Set the limit to `seconds` from now."""
        self._limit = self.elapsed + seconds

    def on_session(self, session: str) -> None:
        """Pass the id of the session on to the listener."""
        self._listener.on_session(session)

    def on_output(self, chunk: OutputChunk) -> None:
        """Pass new output on to the listener."""
        self.has_output = True
        self._recent = (self._recent + chunk.text[-_RECENT:])[-_RECENT:]
        self._listener.on_output(chunk)

    async def report(self) -> None:
        """Report the time and the last line of the output."""
        line = last_line(self._recent)
        if line:
            reason = f"{LAST_LINE}: {line}"
        else:
            reason = "the command is running" if self.is_running else self.activity
        if self.read_error:
            reason = f"{UNREACHABLE}: {self.read_error}; still trying"
        await self._listener.on_progress(self.elapsed, self._limit, reason)
