"""The commands for sandboxes: create, status, delete, resume, list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from rich.text import Text

from sandbox_client.api.sandboxes import State
from sandbox_client.client import Client
from sandbox_client.listing import format_age
from sandbox_client.presentation.sandboxes import (
    MAX_SANDBOXES,
    describe_old_entries,
    format_created,
    list_content,
    readiness_content,
    readiness_error,
    status_content,
)
from sandbox_client.readiness import READY_DEADLINE
from sandbox_client.text import as_word, format_left_out, join_names

from .command import FAILED, NOT_READY, OK, Argument, Limit, SandboxName, command, duration
from .console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_client.errors import SandboxError
    from sandbox_client.listing import Row
    from sandbox_client.readiness import WaitResult

STATE_COLOURS = {
    State.READY: "green",
    State.PAUSED: "yellow",
    State.FAILED: "red",
    State.EXPIRED: "red",
}
OTHER_COLOUR = "cyan"
MAX_NAMES = 10  # of sandboxes in a note
Wait = Annotated[
    float,
    Argument(
        "--wait",
        type=duration,
        metavar="TIME",
        help="wait at most this long until it is ready, such as 90s or 5m (default: 60s)",
    ),
]
_CREATING = "interrupted: if the sandbox was created, it keeps starting; {status} shows its state"
_RESUMING = "interrupted: the sandbox may keep starting; {status} shows its state"
_DELETING = "interrupted: the sandbox may be deleted all the same; {status} shows that"


@command(interrupted=_CREATING)
async def create(
    client: Client,
    console: Console,
    *,
    name: Annotated[
        str,
        Argument(metavar="NAME", help="lower-case letters, digits and hyphens, a letter first"),
    ],
    image: Annotated[
        str | None, Argument("--image", help="container image (default: as configured)")
    ] = None,
    port: Annotated[
        int | None, Argument("--port", help="the runtime's port (default: as configured)")
    ] = None,
    wait: Wait = READY_DEADLINE,
) -> int:
    """Create a sandbox and wait until it is ready."""
    with console.waiting(f"creating {name}"):
        outcome = await client.create(
            name, image=image, port=port, wait=wait, on_progress=console.report
        )
    return _show_readiness(
        console, outcome, f"created from {as_word(outcome.image)}" if outcome.image else "created"
    )


@command()
async def status(client: Client, console: Console, *, name: SandboxName) -> int:
    """Show the state of a sandbox."""
    sandbox = await client.status(name)
    state = sandbox.state
    text = Text.assemble(
        f"{name} is ",
        (state.value, STATE_COLOURS.get(state, OTHER_COLOUR)),
        f" ({sandbox.explanation}), {_without_milliseconds(format_created(sandbox))}",
    )
    console.result(text, status_content(sandbox))
    return OK


@command(interrupted=_DELETING)
async def delete(client: Client, console: Console, *, name: SandboxName) -> int:
    """Delete a sandbox; the proxy may keep its /sandbox for a new one of that name."""
    text = (
        f"{name} was deleted, with /home/gem and /tmp. The proxy may keep its /sandbox: a new"
        " sandbox of that name then has the old files"
    )
    with console.waiting(f"deleting {name}"):
        is_confirmed = await client.delete(name, on_progress=console.report)
    if not is_confirmed:
        text = f"{name} no longer exists; the proxy's response was lost"
    console.result(text, {"name": name, "deleted": True})
    return OK


@command(interrupted=_RESUMING)
async def resume(
    client: Client, console: Console, *, name: SandboxName, wait: Wait = READY_DEADLINE
) -> int:
    """Start a paused sandbox and wait until it is ready."""
    with console.waiting(f"resuming {name}"):
        outcome = await client.resume(name, wait=wait, on_progress=console.report)
    if outcome.was_ready and outcome.reached:
        content = {**readiness_content(name, outcome), "was_ready": True}
        console.result(f"{name} is ready, and was ready before", content)
        return OK
    return _show_readiness(console, outcome, "resumed")


@command()
async def list_(client: Client, console: Console, *, limit: Limit = None) -> int:
    """List your sandboxes, newest first."""
    rows = await client.list()
    shown = rows[: limit or MAX_SANDBOXES]
    content = list_content(rows, limit or MAX_SANDBOXES)
    if not rows:
        console.result(f"No sandboxes. {console.format_verb('create')} creates one.", content)
        return OK
    # A long name may make a line wider than the terminal, but no name is cut or wrapped.
    console.result(_table(shown, console.width), content, wrap=False)
    if more := format_left_out(len(rows) - len(shown), "list"):
        console.say(more)
    if not console.as_json:
        _add_notes(console, rows)
    return OK


def _add_notes(console: Console, rows: Sequence[Row]) -> None:
    """Print which sandboxes are up for long, and why a state is unknown."""
    if old := [row.sandbox.name for row in rows if row.is_up_for_long]:
        console.say(
            f"up for more than a day: {join_names(old, MAX_NAMES)}; pause or delete those that you"
            " do not need"
        )
    for reason in dict.fromkeys(row.reason for row in rows if row.reason):
        names = [row.sandbox.name for row in rows if row.reason == reason]
        console.say(
            f"unknown state of {join_names(names, MAX_NAMES)}: {reason};"
            f" {console.format_verb('status')} looks again"
        )


def _show_readiness(console: Console, outcome: WaitResult, done: str) -> int:
    """Print whether a sandbox that was `done` (created, resumed) is ready; return the exit code."""
    content = readiness_content(console.name, outcome)
    if outcome.reached:
        text = f"{console.name} was {done} and is ready after {outcome.waited:.1f} s"
        if old := describe_old_entries(outcome):
            text = f"{text}. {old}"
        console.result(text, content)
        return OK
    show_error(console, readiness_error(f"{console.name} was {done}", outcome), content)
    return NOT_READY if outcome.error is None else FAILED


def show_error(console: Console, error: SandboxError, content: object) -> None:
    """Print an error, or the content that has its reason with --json."""
    if console.as_json:
        console.result("", content)
    else:
        console.error(error)


def _without_milliseconds(timestamp: str) -> str:
    return re.sub(r"\.\d+(?=Z$)", "", timestamp)


def _table(rows: Sequence[Row], width: int | None) -> Text:
    """Return the table of sandboxes, without the times if they do not fit into `width` columns."""
    cells = [
        (
            as_word(row.sandbox.name),
            Text(row.state.value, STATE_COLOURS.get(row.state, OTHER_COLOUR)),
            Text(format_age(row.age), "bold yellow" if row.is_up_for_long else ""),
            _without_milliseconds(row.sandbox.created_at) or "unknown",
        )
        for row in rows
    ]
    heading = ("NAME", Text("STATE"), Text("AGE"), "CREATED")
    names, states, ages, times = (
        max(len(line[column]) for line in [heading, *cells]) for column in range(4)
    )
    has_times = width is None or names + states + ages + times + 6 <= width

    def line(name: str, state: Text, age: Text, time: str) -> Text:
        state.pad_right(states - len(state))
        if has_times:  # no blanks after the last column
            age.pad_right(ages - len(age))
            return Text.assemble(name.ljust(names), "  ", state, "  ", age, "  ", time)
        return Text.assemble(name.ljust(names), "  ", state, "  ", age)

    first = line(*heading)
    first.stylize("bold")
    return Text("\n").join([first, *(line(*each) for each in cells)])
