"""The command that copies files: cp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from sandbox_client.api.sandboxes import check_name
from sandbox_client.errors import InvalidInput, SandboxError
from sandbox_client.files.copy import Copy
from sandbox_client.files.model import printable
from sandbox_client.provider import with_client
from sandbox_client.text import pluralize

from .command import FAILED, OK, Command, argument
from .copying import Copying

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Awaitable, Callable, Sequence

    from sandbox_client.client import Client

    from .console import Console

_ADVICE = (
    "Write NAME:PATH for what is in a sandbox, and a plain path for what is here: `remote-sandbox"
    " cp notes.txt my-sandbox:` or `remote-sandbox cp my-sandbox:notes.txt .`. A path here that"
    " holds a colon is written ./a:b."
)


@dataclass(frozen=True)
class Place:
    """A path in the sandbox `name`, or on this machine where there is no name."""

    name: str
    path: str


def place(text: str) -> Place:
    """Read NAME:PATH, or a path of this machine: a colon behind a slash is part of a path.

    Raises:
        InvalidInput: it is neither.
    """
    before, colon, path = text.partition(":")
    if not text:
        raise InvalidInput("A path is empty", advice=_ADVICE)
    if not colon or "/" in before:
        return Place("", text)
    try:
        return Place(check_name(before), path)
    except InvalidInput as error:
        raise error.but(advice=_ADVICE) from None


def places(sources: Sequence[str], target: str) -> tuple[str, list[str], str, bool]:
    """Return the sandbox, the paths to copy, the path they go to, and whether that is up there.

    Raises:
        InvalidInput: not just one of the two sides is in a sandbox, or it is in several.
    """
    froms, to = [place(each) for each in sources], place(target)
    names = {each.name for each in froms}
    if len(names) > 1:
        raise InvalidInput("The sources are not all in one place", advice=_ADVICE)
    source = froms[0].name
    if bool(source) == bool(to.name):
        both = "in sandboxes" if source else "on this machine"
        raise InvalidInput(f"Source and target are both {both}", advice=_ADVICE)
    return source or to.name, [each.path for each in froms], to.path, bool(to.name)


async def _copy(client: Client, arguments: Namespace, console: Console) -> int:
    name, sources, target, is_up = places(arguments.source, arguments.target)
    console.name = name
    copying = Copying(console)
    copy = Copy(client.files, name, copying)

    async def work() -> None:
        await (copy.upload if is_up else copy.download)(sources, target)

    try:
        with copying.shown():
            await _as_a_task(work)
    except (SandboxError, anyio.get_cancelled_exc_class()):
        _tell_what_is_done(copying, console)
        raise
    _show(copying, console, arguments.target)
    return FAILED if copying.skipped else OK


async def _as_a_task(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` in a child task: Ctrl-C cancels it, shielded cleanup still finishes."""
    failure: SandboxError | None = None

    async def kept() -> None:
        nonlocal failure
        try:
            await work()
        except SandboxError as error:
            failure = error  # raised below: a task group would wrap it

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kept)
    if failure is not None:
        raise failure


def _tell_what_is_done(copying: Copying, console: Console) -> None:
    """Say what was copied, and what was not."""
    if not copying.files and not copying.ahead:
        return
    done = f"{pluralize(len(copying.files), 'file')} copied"
    left = f"{pluralize(len(copying.ahead), 'file')} not copied"
    first = f", from {printable(copying.ahead[0].path)} on" if copying.ahead else ""
    console.say(f"{done} whole, {left}{first}; no file is left half")


def _show(copying: Copying, console: Console, target: str) -> None:
    content: dict[str, object] = {
        "name": console.name,
        "target": target,
        "files": len(copying.files),
        "directories": copying.directories,
        "bytes": copying.bytes,
        "skipped": [{"path": each.path, "why": each.reason} for each in copying.skipped],
    }
    files, size = pluralize(len(copying.files), "file"), pluralize(copying.bytes, "byte")
    skipped = f"; {len(copying.skipped)} skipped" if copying.skipped else ""
    console.result(f"{files} ({size}) copied to {target}{skipped}", content)


COMMANDS: Final = (
    Command(
        "cp",
        "Copy files and directories into a sandbox or out of it",
        with_client(_copy),
        (
            argument(
                "-r",
                "--recursive",
                action="store_true",
                help="taken for those who are used to it: directories are copied anyway",
            ),
            argument(
                "source",
                metavar="SOURCE",
                nargs="+",
                help="what to copy: NAME:PATH is in a sandbox, where a relative path starts at"
                " /sandbox",
            ),
            argument(
                "target",
                metavar="TARGET",
                help="where to: into it, where it is a directory or ends with a slash",
            ),
        ),
        interrupted=lambda _: "interrupted: what was copied whole stays; nothing is left half",
    ),
)
