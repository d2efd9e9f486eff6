"""The commands of a sandbox's life: create, status, list, pause, resume, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from sandbox_client.errors import format_verbs
from sandbox_client.presentation import (
    describe_unseen_pause,
    list_content,
    pause_content,
    readiness_content,
    readiness_error,
    status_content,
)
from sandbox_client.provider import with_client
from sandbox_client.readiness import WaitResult, reason_of, state_of

from .command import NAME, NOT_READY, OK, Command, argument
from .console import COLOURS, moment

if TYPE_CHECKING:
    from argparse import Namespace

    from sandbox_client.client import Client

    from .console import Console


async def _create(client: Client, arguments: Namespace, console: Console) -> int:
    with console.waiting(f"creating {arguments.name}"):
        outcome = await client.create(
            arguments.name, image=arguments.image, port=arguments.port, on_progress=console.report
        )
    return _show_readiness(
        console, outcome, f"created from {outcome.image}" if outcome.image else "created"
    )


async def _resume(client: Client, arguments: Namespace, console: Console) -> int:
    with console.waiting(f"resuming {arguments.name}"):
        outcome = await client.resume(arguments.name, on_progress=console.report)
    if outcome.was_ready and outcome.reached:
        content = {**readiness_content(console.name, outcome), "was_ready": True}
        console.result(f"{console.name} is ready, and was ready before", content)
        return OK
    return _show_readiness(console, outcome, "resumed")


def _show_readiness(console: Console, outcome: WaitResult, done: str) -> int:
    content = readiness_content(console.name, outcome)
    if outcome.reached:
        console.result(
            f"{console.name} was {done} and is ready after {outcome.waited:.1f} s", content
        )
        return OK
    if console.as_json:
        console.result("", content)
    else:
        console.error(readiness_error(f"{console.name} was {done}", outcome))
    return NOT_READY


async def _status(client: Client, arguments: Namespace, console: Console) -> int:
    sandbox = await client.status(arguments.name)
    state = state_of(sandbox)
    text = Text.assemble(
        f"{sandbox.name} is ",
        (state.value, COLOURS.get(state, "cyan")),
        f" ({reason_of(sandbox)}), created {moment(sandbox.created_at)}",
    )
    console.result(text, status_content(sandbox))
    return OK


async def _list(client: Client, _: Namespace, console: Console) -> int:
    rows = await client.list()
    content = list_content(rows)
    if not rows:
        console.result(f"No sandboxes. {console.spell('create')} makes one.", content)
        return OK
    console.table(rows, content)
    old = [row.sandbox.name for row in rows if row.is_up_for_long]
    if old and not console.as_json:
        console.say(f"up for more than a day: {', '.join(old)}; pause or delete what nobody needs")
    return OK


async def _delete(client: Client, arguments: Namespace, console: Console) -> int:
    text = f"{console.name} and its files were deleted"
    if not await client.delete(arguments.name):
        text = f"{console.name} is not there any more; the proxy's own answer was lost"
    console.result(text, {"name": console.name, "deleted": True})
    return OK


async def _pause(client: Client, arguments: Namespace, console: Console) -> int:
    with console.waiting(f"pausing {arguments.name}"):
        outcome = await client.pause(arguments.name, on_progress=console.report)
    text = f"{console.name} is paused: its files stay. {console.spell('resume')} starts it again."
    if not outcome.reached:
        text = format_verbs(describe_unseen_pause(console.name, outcome), console.spell)
    console.result(text, pause_content(console.name, outcome))
    return OK if outcome.reached else NOT_READY


def _starts(_: Console) -> str:
    return "interrupted: the sandbox goes on starting; {status} tells how far it is"


COMMANDS: Final = (
    Command(
        "create",
        "Create a sandbox and wait until it is ready",
        with_client(_create),
        (
            argument(
                "name",
                metavar="NAME",
                help="lower-case letters, digits and hyphens, a letter first",
            ),
            argument("--image", help="container image (default: as configured)"),
            argument("--port", type=int, help="the runtime's port (default: as configured)"),
        ),
        interrupted=_starts,
    ),
    Command("status", "Tell the state of a sandbox", with_client(_status), (NAME,)),
    Command("delete", "Delete a sandbox and its files", with_client(_delete), (NAME,)),
    Command(
        "pause",
        "Stop a sandbox and keep its files",
        with_client(_pause),
        (NAME,),
        interrupted=lambda _: "interrupted: the pause may go on; {status} tells whether it shows",
    ),
    Command(
        "resume",
        "Start a paused sandbox and wait until it is ready",
        with_client(_resume),
        (NAME,),
        interrupted=_starts,
    ),
    Command("list", "List your sandboxes, newest first", with_client(_list)),
)
