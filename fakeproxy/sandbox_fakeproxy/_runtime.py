"""What runs inside a sandbox, as an interface: really (`_local`) or as scripted (`_scripted`)."""

from dataclasses import dataclass
from typing import Literal, Protocol

Status = Literal["completed", "hard_timeout"]


@dataclass(frozen=True, slots=True)
class Command:
    """A shell command line, and how it may end. `hard_timeout` is in seconds."""

    text: str
    hard_timeout: float | None = None
    truncate: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended; without an exit code when it did not end by itself."""

    output: str = ""
    exit_code: int | None = 0
    status: Status = "completed"


class RuntimeFault(Exception):
    """The sandbox's runtime gave no answer."""


class RuntimeUnreachable(RuntimeFault):
    """The runtime is gone, or went while the command ran."""


class CommandTimeout(RuntimeFault):
    """The command took longer than the proxy waits; it was killed."""


class Runtime(Protocol):
    """What the proxy needs of the machine that runs the sandboxes.

    What `run` does before its first await happens in one step with the caller's check that the
    sandbox is ready; a `stop` after that step must not leave the command running.
    """

    async def run(self, sandbox_id: str, command: Command) -> Outcome:
        """Run a command to its end, also when the caller is cancelled.

        Raises:
            RuntimeFault: there is no outcome to tell.
        """
        ...

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and keep its files."""
        ...

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""
        ...

    async def close(self) -> None:
        """Kill every process and start no more."""
        ...
