"""Run a command of the person's on this machine when the command in a sandbox has ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio

from sandbox_client.errors import InvalidInput, Paused, SandboxDeleted, SessionLost

from .command import NO_RESULT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from sandbox_client.execution.result import CommandResult

    from .console import Console

_INTERRUPTED = "interrupted: the command in the sandbox has ended, and --notify was stopped"


def check_notify(notify: str | None, *, is_awaited: bool, advice: str) -> None:
    """Check that `--notify` has a command, and that the end is waited for.

    Raises:
        InvalidInput: it has none, or nothing waits for the end; `advice` says how to wait.
    """
    if notify is None:
        return
    if not notify.strip():
        raise InvalidInput("--notify is empty", advice="Give a shell command, or leave it out.")
    if not is_awaited:
        raise InvalidInput(
            "--notify was given, but nothing waits for the end of the command", advice=advice
        )


async def notify_of_end(
    console: Console, notify: str | None, result: CommandResult, code: int
) -> None:
    """Run the person's command if the command in the sandbox has ended, with exit code `code`."""
    if notify is not None and not result.has_ended:
        console.note("the command is not known to have ended: --notify was not run")
    elif notify is not None:
        await _notify(console, notify, result.status.state, code)


@contextlib.asynccontextmanager
async def notify_if_lost(console: Console, notify: str | None) -> AsyncGenerator[None]:
    """Run the person's command if a pause or a delete ends the command in the body."""
    try:
        yield
    except (Paused, SandboxDeleted, SessionLost):
        if notify is not None and console.session:
            console.end_output()
            await _notify(console, notify, "lost", NO_RESULT)
        raise


async def _notify(console: Console, notify: str, state: str, code: int) -> None:
    """Run the person's command, and print if it fails; the exit code is not changed."""
    console.interrupted = _INTERRUPTED
    variables = {
        "REMOTE_SANDBOX_NAME": console.name,
        "REMOTE_SANDBOX_SESSION": console.session,
        "REMOTE_SANDBOX_STATE": state,
        "REMOTE_SANDBOX_EXIT_CODE": f"{code}",
    }
    if failure := await _run_shell(notify, variables):
        console.note(f"the command of --notify {failure}")


async def _run_shell(command: str, variables: Mapping[str, str]) -> str:
    """Run a shell command; return why it failed, or an empty string.

    It has no input, and its output goes to standard error: standard output is a sandbox's. A
    cancellation kills it.
    """
    output = _error_descriptor()
    try:
        done = await anyio.run_process(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **variables},
            check=False,
        )
    except (OSError, ValueError) as exc:  # a NUL character is a ValueError
        return f"could not be started: {getattr(exc, 'strerror', None) or 'it is no command line'}"
    if done.returncode < 0:
        return f"was killed by signal {-done.returncode}"
    return f"ended with exit code {done.returncode}" if done.returncode else ""


def _error_descriptor() -> int:
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError):  # not a file
        return subprocess.DEVNULL
