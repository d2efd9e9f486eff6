"""The command that copies files: cp."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio

from sandbox_client.api.sandboxes import check_name
from sandbox_client.client import Client
from sandbox_client.errors import InvalidInput, SandboxError, SandboxNotFound
from sandbox_client.files.copy import Copy
from sandbox_client.files.model import printable
from sandbox_client.text import format_size, pluralize

from .command import FAILED, OK, Argument, command
from .console import Console
from .copy_progress import CopyProgress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sandbox_client.files.model import FileEntry

_ADVICE = (
    "Write NAME:PATH for a path in a sandbox, and a plain path for one on this machine:"
    " `remote-sandbox cp notes.txt my-sandbox:` or `remote-sandbox cp my-sandbox:notes.txt .`."
    " Write ./a:b for a path on this machine with a colon."
)


@command(interrupted="interrupted: complete files stay")
async def cp(
    client: Client,
    console: Console,
    *,
    recursive: Annotated[  # noqa: ARG001  # accepted for users of cp(1)
        bool,
        Argument(
            "-r",
            "--recursive",
            help="has no effect: directories are always copied",
        ),
    ] = False,
    source: Annotated[
        list[str],
        Argument(
            metavar="SOURCE",
            nargs="+",
            help="a file or directory: PATH on this machine, or NAME:PATH in a sandbox, where a"
            " relative path starts at /sandbox",
        ),
    ],
    target: Annotated[
        str,
        Argument(
            metavar="TARGET",
            help="the new path; a directory, or a path that ends with a slash, is copied into",
        ),
    ],
) -> int:
    """Copy files and directories into a sandbox or out of it."""
    transfer = parse_transfer(source, target)
    console.name = transfer.sandbox
    progress = CopyProgress(console)
    copy = Copy(client.files, transfer.sandbox, progress)

    async def work() -> None:
        await (copy.upload if transfer.is_upload else copy.download)(
            transfer.sources, transfer.target
        )

    try:
        with progress.bar():
            await _run_in_child_task(work)
    except (SandboxError, anyio.get_cancelled_exc_class()) as error:
        is_gone = isinstance(error, SandboxNotFound)
        _print_incomplete(progress, console, () if is_gone else source, target)
        raise
    _print_result(progress, console, transfer, target)
    return FAILED if progress.skipped else OK


@dataclass(frozen=True)
class Location:
    """A path in `sandbox`, or on this machine if `sandbox` is empty."""

    sandbox: str
    path: str


@dataclass(frozen=True)
class Transfer:
    """The paths of a copy into `sandbox`, if `is_upload`, or out of it."""

    sandbox: str
    sources: list[str]
    target: str
    is_upload: bool


def parse_location(text: str) -> Location:
    """Parse NAME:PATH, or a path on this machine; a colon after a slash belongs to the path.

    Raises:
        InvalidInput: it is empty, or NAME is not a valid name.
    """
    before, colon, path = text.partition(":")
    if not text:
        raise InvalidInput("A path is empty", advice=_ADVICE)
    if not colon or "/" in before:
        return Location("", text)
    try:
        return Location(check_name(before), path)
    except InvalidInput as error:
        raise InvalidInput(error.message, advice=_ADVICE) from None


def parse_transfer(sources: Sequence[str], target: str) -> Transfer:
    """Parse the arguments of a copy.

    Raises:
        InvalidInput: both sides or neither are in a sandbox, or the sources are in several places.
    """
    locations, to = [parse_location(each) for each in sources], parse_location(target)
    sandboxes = {each.sandbox for each in locations}
    if len(sandboxes) > 1:
        raise InvalidInput("The sources are not all in one place", advice=_ADVICE)
    source = locations[0].sandbox
    if bool(source) == bool(to.sandbox):
        both = "in sandboxes" if source else "on this machine"
        raise InvalidInput(f"Source and target are both {both}", advice=_ADVICE)
    paths = [each.path for each in locations]
    return Transfer(source or to.sandbox, paths, to.path, bool(to.sandbox))


async def _run_in_child_task(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` in a child task: Ctrl-C cancels it, shielded cleanup still finishes."""
    failure: SandboxError | None = None

    async def keep_error() -> None:
        nonlocal failure
        try:
            await work()
        except SandboxError as error:
            failure = error  # raised below: a task group would wrap it

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_error)
    if failure is not None:
        raise failure


def _print_incomplete(
    progress: CopyProgress, console: Console, sources: Sequence[str], target: str
) -> None:
    """Print how many files were copied before the copy ended early, and how to complete it.

    Without `sources`, nothing completes it.
    """
    progress.print_leftovers()
    if not progress.copied and not progress.pending:
        return
    done = f"{pluralize(len(progress.copied), 'file')} copied"
    left = f"{pluralize(len(progress.pending), 'file')} not copied"
    first = f", from {printable(progress.pending[0].path)} on" if progress.pending else ""
    console.say(f"{done}, {left}{first}; no file is incomplete")
    is_begun = sources and (progress.is_new_directory or progress.copied)
    if is_begun and not any(Path(each).is_fifo() for each in sources):  # a pipe was read
        line = _completing_line(sources, target, is_new_directory=progress.is_new_directory)
        console.say(f"to complete the copy: `{line}`")


def _completing_line(sources: Sequence[str], target: str, *, is_new_directory: bool) -> str:
    """Return the command line that copies what is missing, and again what is not.

    The target may be there by now, and a directory would be copied into it: its content is named.
    """
    words = [_content_of(sources[0])] if is_new_directory else sources
    options = ["--"] if any(each.startswith("-") for each in [*words, target]) else []
    return shlex.join(["remote-sandbox", "cp", *options, *words, target])


def _content_of(directory: str) -> str:
    """Return the source that is the content of a directory."""
    path = directory.rstrip("/")
    return f"{path}." if path.endswith(":") else f"{path}/."


def _print_result(
    progress: CopyProgress, console: Console, transfer: Transfer, target: str
) -> None:
    if progress.not_executable:
        console.say(_explain_modes(progress.not_executable, is_upload=transfer.is_upload))
    content: dict[str, object] = {
        "name": console.name,
        "target": target,
        "files": len(progress.copied),
        "directories": progress.directories,
        "bytes": progress.bytes,
        "seconds": round(progress.seconds, 1),
        "not_executable": [each.path for each in progress.not_executable],
        "skipped": [{"path": each.path, "why": each.reason} for each in progress.skipped],
    }
    files, size = pluralize(len(progress.copied), "file"), format_size(progress.bytes)
    skipped = f"; {len(progress.skipped)} skipped" if progress.skipped else ""
    rate = format_rate(progress.bytes, progress.seconds)
    place = _place(target, progress.names_in_target)
    console.result(f"{files} ({size}) copied to {place}{rate}{skipped}", content)


def _place(target: str, names: Sequence[str]) -> str:
    """Return the target with the name of a single source that is copied into it unexpectedly."""
    is_expected = len(names) != 1 or target.endswith(("/", ":", "."))
    return target if is_expected else f"{target}/{printable(names[0])}"


def format_rate(size: int, seconds: float) -> str:
    """Return the duration and the rate of a copy; an empty string for less than a second."""
    if seconds < 1:
        return ""
    return f" in {seconds:.0f} s ({format_size(round(size / seconds))}/s)"


def _explain_modes(entries: Sequence[FileEntry], *, is_upload: bool) -> str:
    """Return a sentence about files that lost their permission to be executed."""
    first, count = printable(entries[0].path), len(entries)
    subject = f"{first} is" if count == 1 else f"{count} files, from {first} on, are"
    if not is_upload:
        return (
            f"{subject} not executable here: a file that was there keeps its permissions, and some"
            " file systems keep none"
        )
    return (
        f"{subject} not executable in the sandbox: a file that was there keeps its permissions, and"
        " some directories keep none (/sandbox at a deployed proxy never does). Name the"
        f" interpreter, as in `sh {shlex.quote(first)}`"
    )
