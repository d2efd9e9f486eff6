"""Run git on this machine: typed results, a clean environment, deadlines and bounded output.

No command runs a hook, asks a question or uses a network. `Git.of_person` reads the configuration
of the person, with its filters and ignore rules. `Git.isolated` reads none and limits memory, time
and files: it is for repositories with content from a sandbox.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING

from sandbox_client.errors import GitFailed
from sandbox_client.text import last_line

from .names import decode, shown
from .process import Finished, Interrupt, Running

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OLDEST = (2, 25)  # `for-each-ref` with worktrees, `init` of sha256 repositories since 2.29
DEADLINE = 600.0  # seconds
MAX_OUTPUT = 256 * 1024 * 1024  # bytes
_INHERITED = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "USER", "LOGNAME", "SYSTEMROOT")
_CONFIGURATION = "GIT_CONFIG_"  # variables that name or hold the configuration of the person
_FIXED = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",  # since git 2.44
    "GIT_ALLOW_PROTOCOL": "none",  # also where the configuration allows one
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
}
_ALONE = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,  # older versions of git look in HOME instead
    "GIT_ATTR_NOSYSTEM": "1",
    "HOME": os.devnull,
    "XDG_CONFIG_HOME": os.devnull,
}
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "core.pager=cat",
    "log.showSignature=false",
    "core.quotePath=false",
    "core.safecrlf=false",
    "add.ignoreErrors=false",
    "color.ui=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "submodule.recurse=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "init.defaultObjectFormat=sha1",  # since git 2.47, as the next one
    "init.defaultRefFormat=files",
)
_NO_REPOSITORY_RULES = ("core.attributesFile=/dev/null", "core.excludesFile=/dev/null")
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class ProcessLimits:
    """Limits of one git process: bytes of memory and of a file that it writes, CPU seconds."""

    memory: int = 4 * 1024**3
    file: int = 4 * 1024**3
    seconds: int = 300


@dataclass(frozen=True)
class Git:
    """Git with its environment; `at` and `on` return one for a directory or a repository."""

    program: str
    environ: Mapping[str, str]
    settings: tuple[str, ...] = _SETTINGS
    directory: str = "/"
    limits: ProcessLimits | None = None
    deadline: float = DEADLINE
    options: tuple[str, ...] = field(default=())
    interrupt: Interrupt = field(default_factory=Interrupt, compare=False)

    @classmethod
    def of_person(cls, environ: Mapping[str, str]) -> Git:
        """Return git with the configuration of the person, without other GIT_… variables.

        Raises:
            GitFailed: git is missing or too old.
        """
        program = shutil.which("git", path=environ.get("PATH"))
        if program is None:
            raise GitFailed(
                "git is not on the PATH",
                advice="Install git 2.25 or newer, or copy the files with `remote-sandbox cp`.",
            )
        kept = {
            name: value
            for name, value in environ.items()
            if name in _INHERITED or name.startswith(_CONFIGURATION)
        }
        git = cls(program, {**kept, **_FIXED})
        git.require_version()
        return git

    def isolated(self, limits: ProcessLimits) -> Git:
        """Return git that reads no configuration of this machine and has process limits."""
        return replace(
            self,
            environ={**_without_configuration(self.environ), **_ALONE},
            settings=(*self.settings, *_NO_REPOSITORY_RULES),
            limits=limits,
        )

    def at(self, directory: str) -> Git:
        """Return git that runs in a directory."""
        return replace(self, directory=directory)

    def on(self, git_dir: str | Path) -> Git:
        """Return git for a bare repository, which no discovery looks for."""
        return replace(self, options=(f"--git-dir={git_dir}",), directory=str(git_dir))

    def with_variables(self, **variables: str) -> Git:
        """Return git with more environment variables."""
        return replace(self, environ={**self.environ, **variables})

    def require_version(self) -> None:
        """Check that git is new enough.

        Raises:
            GitFailed: it is not, or it does not tell its version.
        """
        found = re.search(r"(\d+)\.(\d+)", self.text("version"))
        if found is None or tuple(map(int, found.groups())) < OLDEST:
            version = found.group() if found else "without a version"
            raise GitFailed(
                f"git {version} is too old",
                advice="Install git 2.25 or newer, or copy the files with `remote-sandbox cp`.",
            )

    def text(self, *arguments: str) -> str:
        """Return the output without its last line end; undecodable bytes are kept as surrogates."""
        return decode(self.run(*arguments).removesuffix(b"\n"))

    def names(self, *arguments: str) -> list[str]:
        """Return output that NUL characters separate."""
        return [decode(each) for each in self.run(*arguments).split(b"\0") if each]

    def run(
        self,
        *arguments: str,
        stdin: bytes | IO[bytes] = b"",
        stdout: IO[bytes] | None = None,
        max_output: int = MAX_OUTPUT,
    ) -> bytes:
        """Run git and return its output, or write it to `stdout`.

        Raises:
            GitFailed: it fails, takes too long, or writes too much.
        """
        result = self.ask(*arguments, stdin=stdin, stdout=stdout, max_output=max_output)
        if result.code != 0:
            reason = reason_of(result.errors) or f"it ended with code {result.code}"
            raise GitFailed(f"git {arguments[0]} failed: {reason}")
        return result.output

    def ask(
        self,
        *arguments: str,
        stdin: bytes | IO[bytes] = b"",
        stdout: IO[bytes] | None = None,
        max_output: int = MAX_OUTPUT,
    ) -> Finished:
        """Run git and return its exit code, output and errors.

        Raises:
            GitFailed: it cannot be started, takes too long, or writes too much.
        """
        settings = [word for each in self.settings for word in ("-c", each)]
        words = [self.program, *self.options, *settings, *arguments]
        command = _limited(words, self.limits) if self.limits else words
        try:
            process = subprocess.Popen(  # noqa: S603  # no shell reads the arguments
                command,
                cwd=self.directory,
                env=dict(self.environ),
                stdin=subprocess.PIPE if isinstance(stdin, bytes) else stdin,
                stdout=stdout or subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a filter has no terminal to wait for
            )
        except OSError as exc:
            raise GitFailed(f"git cannot be started: {exc.strerror}") from exc
        running = Running(process, max_output, self.interrupt)
        return running.finish(
            arguments[0], stdin if isinstance(stdin, bytes) else None, self.deadline
        )


def _limited(words: list[str], limits: ProcessLimits) -> list[str]:
    """Return a command that sets limits before it becomes git; some systems lack some limits."""
    script = " ".join(
        f"ulimit {option} {value} 2>/dev/null;"
        for option, value in (
            ("-c", 0),
            ("-v", limits.memory // 1024),
            ("-f", limits.file // 512),
            ("-t", limits.seconds),
        )
    )
    return ["/bin/sh", "-c", f'{script} exec "$@"', "sh", *words]


def reason_of(errors: bytes) -> str:
    """Return the first and the last error that git printed: the reason, and its effect."""
    text = decode(errors)
    lines = [line for line in text.splitlines() if line.startswith(("error: ", "fatal: "))]
    ends = dict.fromkeys([lines[0], lines[-1]] if lines else [last_line(text)])
    return "; ".join(map(shown, ends))


def is_id(text: str) -> bool:
    """Check that a text is a full object id, SHA-1 or SHA-256, in lower case."""
    return _ID.fullmatch(text) is not None


def null_id(object_format: str) -> str:
    """Return the id that stands for no object."""
    return "0" * (64 if object_format == "sha256" else 40)


def _without_configuration(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: each for name, each in environ.items() if not name.startswith(_CONFIGURATION)}
