"""The command that runs coding agents: agent, also on a repository and in several sandboxes."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import anyio

from sandbox_client.agent import agent_command_line, agent_program
from sandbox_client.api.runtime import Task, check_task
from sandbox_client.api.sandboxes import check_name
from sandbox_client.client import Client
from sandbox_client.errors import GitFailed, InvalidInput, SandboxError
from sandbox_client.presentation.commands import (
    NOT_FOUND,
    describe_missing_agent,
    describe_unset_variables,
)

from .advice import set_advice
from .command import NO_RESULT, OK, Argument, SandboxName, command
from .console import Console
from .prompt_options import RunOptions, check_run, variables, without_separator
from .prompts import GOES_ON, NOTHING_RUN, run_command
from .repositories import (
    SendOptions,
    check_repository,
    report_failure,
    send_repository,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_client.config import Config
    from sandbox_client.repository.model import Push, PushOptions


@dataclass(frozen=True, kw_only=True)
class RepositoryOptions:
    """The options of an agent that works on a repository of this machine."""

    repo: Annotated[
        str | None,
        Argument(
            "--repo",
            metavar="DIR",
            help="send the git repository of this directory before, as `push` does; the agent works"
            " in it",
        ),
    ] = None
    on: Annotated[
        list[str] | None,
        Argument(
            "--on",
            action="append",
            metavar="NAME",
            help="a sandbox for the agent, in place of NAME; with several, one agent starts in each"
            " and is not waited for",
        ),
    ] = None
    send: SendOptions

    def require_repo(self) -> None:
        """Check that options about a repository come with one.

        Raises:
            InvalidInput: they do not.
        """
        if self.repo is None and not self.send.is_default:
            raise InvalidInput(
                "An option for a repository was given without --repo",
                advice="Name the repository, as in `remote-sandbox agent --repo . NAME PROMPT`.",
            )


@command(
    failed=NO_RESULT,
    interrupted=GOES_ON,
    interrupted_early=NOTHING_RUN,
    usage="remote-sandbox agent [OPTION ...] NAME PROMPT\n"
    "                            [WORD ...]\n"
    "       remote-sandbox agent --on NAME ...\n"
    "                            [OPTION ...] PROMPT [WORD ...]",
)
async def agent(
    client: Client,
    console: Console,
    *,
    options: RunOptions,
    repository: RepositoryOptions,
    name: SandboxName,
    prompt: Annotated[
        list[str],
        Argument(metavar="PROMPT", nargs=argparse.REMAINDER, help="the task"),
    ],
) -> int:
    """Run a coding agent in a sandbox with a prompt in plain words."""
    repository.require_repo()
    names = list(dict.fromkeys(repository.on or [name]))
    console.name = names[0] if len(names) == 1 else ""
    words = [name, *prompt] if repository.on else without_separator(prompt)
    if not words:
        raise InvalidInput(
            f"No prompt was given: {name[:80]!r} was taken as the sandbox's name",
            advice="Give the name before the prompt: `remote-sandbox agent NAME PROMPT`.",
        )
    config, task = client.proxy.config, " ".join(words)
    _check(config, names, task, options)
    given = {each.partition("=")[0] for each in options.env or ()}
    if unset := [each for each in config.unset_agent_variables if each not in given]:
        console.note(describe_unset_variables(unset))
    push = repository.send.with_program(agent_program(config.agent_command))
    again = "agent -d" if options.detach or len(names) > 1 else "agent"
    work = _Work(client, console, repository.repo, push, task, options, again)
    if len(names) > 1:
        return await work.start_in_each(names)
    code = await work.run_in(names[0])
    if code == NOT_FOUND:
        console.note(describe_missing_agent(config.agent_command))
    return code


def _check(config: Config, names: Sequence[str], task: str, options: RunOptions) -> None:
    """Check all that was typed, before a repository is sent.

    Raises:
        ConfigError: `agentCommand` cannot hold a prompt.
        InvalidInput: a name, an option or the prompt is invalid.
    """
    for name in names:
        check_name(name)
    is_detachable = not options.stdin and options.wait is None and options.notify is None
    if len(names) > 1 and not is_detachable:
        raise InvalidInput(
            "--stdin, --wait and --notify are for one agent",
            advice="Leave them out: several agents are started, and not waited for.",
        )
    env = {**config.agent_values, **check_run(options, os.environ)}
    line = agent_command_line(config.agent_command, task)
    check_task(Task(line, env=env, time_limit=options.time_limit))


@dataclass(frozen=True)
class _Work:
    """An agent's task, on a repository of this machine if `repo` is given.

    `again` is the beginning of the command line that repeats it.
    """

    client: Client
    console: Console
    repo: str | None
    push: PushOptions
    task: str
    options: RunOptions
    again: str

    async def run_in(self, name: str) -> int:
        """Send the repository, run the agent in it and return the exit code."""
        pushed = await self._send(name)
        try:
            run = partial(self.client.run_agent, name, self.task, directory=_directory(pushed))
            return await run_command(self.client, self.console, run, self.options)
        finally:
            if pushed and self.console.session:
                self.console.note(f"{self._pull_line(name)} makes its work a branch here")

    async def start_in_each(self, names: Sequence[str]) -> int:
        """Start the agent in several sandboxes, one after the other; go on after an error."""
        if self.repo is not None:
            self._advise_all(names)
            await check_repository(self.client, self.console, self.repo, self.push)
        started: list[dict[str, object]] = []
        failed: list[dict[str, object]] = []
        try:
            for name in names:
                try:
                    started.append(await self._start(name))
                except SandboxError as error:
                    if isinstance(error, GitFailed) and not started:
                        self._advise_all(names)  # git here fails for each of them
                        raise
                    failed.append(report_failure(self.console, name, error))
        except anyio.get_cancelled_exc_class():
            others = ", ".join(names[len(started) + len(failed) :])
            done = ", ".join(str(each["name"]) for each in started) or "no sandbox"
            self.console.say(f"the agent runs in {done}, and was not started in {others}")
            raise
        text = "\n".join(f"{each['name']}  {each['session']}" for each in started)
        self.console.result(text, {"started": started, "failed": failed})
        return NO_RESULT if failed else OK

    async def _start(self, name: str) -> dict[str, object]:
        pushed = await self._send(name)
        result = await self.client.run_agent(
            name,
            self.task,
            directory=_directory(pushed),
            env=variables(self.options.env or (), os.environ),
            time_limit=self.options.time_limit,
            wait=0,
        )
        follow = f"`remote-sandbox output -f {name} {result.session}`"
        pull = f"; {self._pull_line(name)} makes its work a branch" if pushed else ""
        self.console.note(f"{follow} follows the agent in {name}{pull}")
        content: dict[str, object] = {"name": name, "session": result.session}
        if pushed:
            content |= {"directory": pushed.directory, "commit": pushed.commit}
        return content

    async def _send(self, name: str) -> Push | None:
        """Send the repository, if there is one."""
        if self.repo is None:
            return None
        return await send_repository(
            self.client, self.console, name, self.repo, self.push, agent=self.again
        )

    def _advise_all(self, names: Sequence[str]) -> None:
        """Let advice to send the repository again name all sandboxes."""
        self.console.name = ""
        set_advice(self.console, self.repo or ".", self.push, agent=self.again, names=names)

    def _pull_line(self, name: str) -> str:
        repo = f"--repo {shlex.quote(self.repo)} " if self.repo and self.repo != "." else ""
        return f"`remote-sandbox pull {repo}{name}`"


def _directory(pushed: Push | None) -> str | None:
    return pushed.directory if pushed else None
