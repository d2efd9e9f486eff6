"""The commands for git repositories: push and pull."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
from rich.text import Text

from sandbox_client.client import Client
from sandbox_client.errors import InvalidInput, SandboxError, SandboxNotFound
from sandbox_client.presentation.errors import next_step
from sandbox_client.presentation.repositories import (
    describe_plan,
    describe_pull,
    describe_push,
    next_commands,
    pull_content,
    push_content,
)
from sandbox_client.repository.model import (
    APPLYING,
    IMPORTING,
    UNPACKING,
    PullOptions,
    PushOptions,
)

from .advice import set_advice
from .command import FAILED, OK, Argument, SandboxName, command
from .console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sandbox_client.repository.model import Pull, Push, PushPlan

# The effect of an interruption, by the activity.
_INTERRUPTED = {
    UNPACKING: "the sandbox may have unpacked a part: push again, which completes it",
    IMPORTING: "the work was fetched and checked, and not applied; pull again to see the branch",
    APPLYING: "the branch is made; the working tree has all of the changes or none of them:"
    " look with `git status`",
}
RepositoryDirectory = Annotated[
    str, Argument("--repo", metavar="DIR", help="a directory of the repository (default: .)")
]


@dataclass(frozen=True, kw_only=True)
class SendOptions:
    """The options of a repository that is sent."""

    directory: Annotated[
        str | None,
        Argument(
            "--directory",
            metavar="PATH",
            help="the directory in the sandbox (default: the one of the last push, else"
            " /sandbox/ and the repository's name)",
        ),
    ] = None
    include: Annotated[
        list[str] | None,
        Argument(
            "--include",
            action="append",
            metavar="PATTERN",
            help="send files although their names look like secrets: .env in every directory,"
            " /.env at the top alone, config/ all below it",
        ),
    ] = None
    leave_out: Annotated[
        list[str] | None,
        Argument(
            "--leave-out",
            action="append",
            metavar="PATTERN",
            help="keep files here; patterns as for --include",
        ),
    ] = None
    history: Annotated[
        bool, Argument("--history", help="send the earlier commits, too (default: HEAD alone)")
    ] = False

    @property
    def is_default(self) -> bool:
        """Whether none of them was given."""
        return self == SendOptions()

    def with_program(self, program: str = "") -> PushOptions:
        """Return the options of a push, after which the sandbox should have a program."""
        include, leave_out = self.include or (), self.leave_out or ()
        return PushOptions(self.directory, include, leave_out, self.history, program)


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """The options of work that comes back."""

    branch: Annotated[
        str | None,
        Argument("--branch", metavar="BRANCH", help="the branch here (default: sandbox/NAME)"),
    ] = None
    directory: Annotated[
        str | None,
        Argument(
            "--directory",
            metavar="PATH",
            help="the directory in the sandbox (default: the one of the last push)",
        ),
    ] = None
    apply: Annotated[
        bool,
        Argument(
            "--apply",
            help="apply the work to the working tree, too, if that has no changes; later only"
            " what is new",
        ),
    ] = False
    allow_programs: Annotated[
        bool,
        Argument(
            "--allow-programs",
            help="apply also what would run on this machine, such as hooks and build files, and"
            " what goes to paths that git ignores",
        ),
    ] = False

    @property
    def is_default(self) -> bool:
        """Whether none of them was given."""
        return self == FetchOptions()


@command()
async def push(
    client: Client,
    console: Console,
    *,
    repo: RepositoryDirectory = ".",
    options: SendOptions,
    name: SandboxName,
) -> int:
    """Send the working tree of a git repository to a sandbox, as it is."""
    result = await send_repository(client, console, name, repo, options.with_program())
    console.result(describe_push(result), push_content(result))
    return OK


@command()
async def pull(
    client: Client,
    console: Console,
    *,
    repo: RepositoryDirectory = ".",
    options: FetchOptions,
    all_: Annotated[
        bool,
        Argument(
            "--all",
            help="pull from all directories, in all sandboxes, that the repository was sent to",
        ),
    ] = False,
    name: Annotated[str, Argument(metavar="NAME", help="the sandbox's name")] = "",
) -> int:
    """Fetch the work in a sandbox as a branch of the repository, and show what changed."""
    if all_ == bool(name):
        raise InvalidInput(
            "NAME and --all were both given" if name else "NAME is missing",
            advice="Give the name of a sandbox, or --all.",
        )
    if all_ and not options.is_default:
        raise InvalidInput(
            "--all takes neither --branch, --directory nor --apply",
            advice="Pull from one sandbox at a time with them: `remote-sandbox pull NAME`.",
        )
    if all_:
        return await _pull_all(client, console, repo)
    wanted = PullOptions(options.branch, options.directory, options.apply, options.allow_programs)
    result = await _fetch(client, console, name, repo, wanted)
    _print(console, [result])
    if result.not_applied is not None:
        console.error(result.not_applied)
        return FAILED
    return OK


async def send_repository(
    client: Client,
    console: Console,
    name: str,
    repo: str,
    options: PushOptions,
    *,
    agent: str = "",
) -> Push:
    """Push a repository; print the plan first, and after Ctrl-C the effect.

    `agent` is the beginning of the command line that repeats it, if that is an agent's.
    """
    set_advice(console, repo, options, agent=agent)

    def show(plan: PushPlan) -> None:
        for line in describe_plan(plan):
            console.say(line)

    with _interruptible(console, name, "looking at the repository") as on_activity:
        return await client.repositories.push(
            *(name, repo, options),
            on_plan=show,
            on_activity=on_activity,
            on_progress=console.report,
        )


async def check_repository(
    client: Client, console: Console, repo: str, options: PushOptions
) -> None:
    """Check a repository before it goes to several sandboxes."""
    with _interruptible(console, "", "looking at the repository"):
        await client.repositories.check(repo, options)


async def _fetch(
    client: Client, console: Console, name: str, repo: str, options: PullOptions
) -> Pull:
    set_advice(console, repo, options)
    with _interruptible(console, name, "looking at the sandbox") as on_activity:
        return await client.repositories.pull(
            *(name, repo, options), on_activity=on_activity, on_progress=console.report
        )


@contextlib.contextmanager
def _interruptible(console: Console, name: str, activity: str) -> Generator[Callable[[str], None]]:
    """Print the progress of a push or pull, and after Ctrl-C its effect; yield `on_activity`."""
    console.name = name
    steps: list[str] = []
    try:
        with console.waiting(activity):
            yield steps.append
    except anyio.get_cancelled_exc_class():
        console.say(describe_interruption(steps))
        raise


def describe_interruption(steps: list[str]) -> str:
    """Return a line about a push or pull that was interrupted in the last of these activities."""
    last = steps[-1] if steps else "starting"
    effect = _INTERRUPTED.get(last, "nothing was changed, in the sandbox or here")
    if UNPACKING in steps and last != UNPACKING:
        effect = "the repository has arrived in the sandbox; push again to see that"
    return f"interrupted while {last}: {effect}"


def report_failure(console: Console, name: str, error: SandboxError) -> dict[str, object]:
    """Print the error of one sandbox of several, and return it as an object."""
    console.name = name
    step = next_step(error, console.format_verb)
    console.say(f"{name}: {error.message}; {step}")
    return {"name": name, "message": error.message, "next": step}


async def _pull_all(client: Client, console: Console, repo: str) -> int:
    pulled: list[Pull] = []
    failed: list[dict[str, object]] = []
    gone: list[dict[str, object]] = []
    for name, directory in await client.repositories.pushed(repo):
        try:
            options = PullOptions(directory=directory)
            pulled.append(await _fetch(client, console, name, repo, options))
        except SandboxError as error:
            content = {**report_failure(console, name, error), "directory": directory}
            (gone if isinstance(error, SandboxNotFound) else failed).append(content)
    _print(console, pulled, {"failed": failed, "gone": gone})
    return FAILED if failed else OK


def _print(
    console: Console, pulled: list[Pull], others: dict[str, list[dict[str, object]]] | None = None
) -> None:
    """Print pulls: one as an object of its own, those of --all as a list, with the others."""
    contents: list[dict[str, object]] = []
    lines: list[Text] = []
    for each in pulled:
        is_here = Path(each.repository) in {Path.cwd(), *Path.cwd().parents}
        commands = next_commands(each, is_here=is_here)
        contents.append({**pull_content(each, None), "next": commands})
        lines += [_fit(console, line) for line in describe_pull(each, console.width)]
        lines += [Text(f"  {line}") for line in commands]  # to be copied
        if not each.has_work:
            hint = Text("`remote-sandbox ps` shows whether an agent still works")
            lines.append(console.wrap(hint))
    if others is None:
        console.result(Text("\n").join(lines), contents[0], wrap=False)
        return
    if not lines and not any(others.values()):
        lines = [Text("This repository was sent to no sandbox.")]
    console.result(Text("\n").join(lines), {"pulled": contents, **others}, wrap=False)


def _fit(console: Console, line: str) -> Text:
    """Fit a line into the terminal: cut one of a list, wrap others."""
    text = Text(line)
    if not line.startswith(" "):
        return console.wrap(text)
    if console.width is not None:
        text.truncate(console.width, overflow="ellipsis")
    return text
