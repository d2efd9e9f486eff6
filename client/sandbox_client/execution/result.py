"""The result of a command, as far as a call has read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sandbox_client.output import Output

if TYPE_CHECKING:
    from typing import Literal

    from sandbox_client.api.runtime import CommandStatus, SessionRow, Signal

    from .follower import OutputFollower
    from .remote_command import RemoteCommand


@dataclass(frozen=True)
class CommandResult:
    """The state of a command in a session, and the output that this call has read.

    On a terminal, `errors` is None and standard error is in `output`. `seconds` is the duration of
    the call, and of the command if the call `started` it. `read_error` is the reason why the
    command could not be read or killed in the end, or empty, and `unread_for` the seconds since it
    was last read. After a cancellation, `signals` were sent, and `was_over` means that the command
    had ended before.
    """

    name: str
    session: str
    status: CommandStatus
    output: Output = field(default_factory=Output)
    errors: Output | None = None
    api: Literal["pipes", "terminal"] = "pipes"
    seconds: float = 0.0
    read_error: str = ""
    unread_for: float = 0.0
    started: bool = False
    was_over: bool = False
    signals: tuple[Signal, ...] = ()
    time_limit: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the command has ended."""
        return self.status.has_ended

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None if the command runs or its end is unknown."""
        return self.status.exit_code

    @property
    def stdout(self) -> str:
        """Standard output as read by this call; on a terminal, with standard error in it."""
        return self.output.text

    @property
    def stderr(self) -> str:
        """Standard error as read by this call."""
        return self.errors.text if self.errors else ""

    @property
    def printed(self) -> str:
        """Standard output followed by standard error, as read by this call."""
        return self.stdout + self.stderr


class Session(NamedTuple):
    """A session of a sandbox and the result of its last command, None if it could not be read."""

    row: SessionRow
    last: CommandResult | None


def result_of(remote: RemoteCommand, follower: OutputFollower) -> CommandResult:
    """Return the status and the output of a command as they were last read."""
    return CommandResult(
        remote.name,
        remote.session,
        remote.status,
        remote.output,
        remote.errors,
        remote.api,
        follower.elapsed,
        follower.read_error,
        follower.unread_for,
    )
