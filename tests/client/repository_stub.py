"""A person's repository, and a directory in place of a sandbox, to test `repository`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_client.repository import sandbox_answers, sandbox_scripts
from sandbox_client.repository.branch import branch_of
from sandbox_client.repository.file_kinds import decide
from sandbox_client.repository.git import Git
from sandbox_client.repository.incoming import (
    apply_and_record,
    export_command,
    import_and_record,
    incoming,
    known_work,
    require_ours,
    require_pulled,
    require_sent,
)
from sandbox_client.repository.local import Repository, open_repository
from sandbox_client.repository.outgoing import outgoing
from sandbox_client.repository.quarantine import Limits
from sandbox_client.repository.snapshot import survey
from sandbox_client.repository.store import Store
from sandbox_client.repository.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from sandbox_client.repository.amount import Amount
    from sandbox_client.repository.apply import Applied
    from sandbox_client.repository.branch import Imported
    from sandbox_client.repository.quarantine import CheckedWork
    from sandbox_client.repository.records import Sent
    from sandbox_client.repository.summary import Summary

PATH = "/usr/local/bin:/usr/bin:/bin"
NAME = "box"


def run(directory: Path, *words: str, path: str = PATH, home: Path | None = None) -> str:
    """Run a program and return its output; the identity of a commit is fixed."""
    environment = {
        "PATH": path,
        "HOME": str(home or directory.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ann",
        "GIT_AUTHOR_EMAIL": "ann@example.com",
        "GIT_COMMITTER_NAME": "Ann",
        "GIT_COMMITTER_EMAIL": "ann@example.com",
        "GIT_AUTHOR_DATE": "1700000000 +0000",
        "GIT_COMMITTER_DATE": "1700000000 +0000",
        "LC_ALL": "C",
    }
    result = subprocess.run(
        words, cwd=directory, env=environment, capture_output=True, timeout=60, check=False
    )
    assert result.returncode == 0, (words, result.stdout, result.stderr)
    return result.stdout.decode("utf-8", "surrogateescape").strip()


def git(directory: Path, *words: str) -> str:
    return run(directory, "git", *words)


def write(directory: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def make_repository(at: Path, files: dict[str, str | bytes] | None = None, *init: str) -> Path:
    """Make a repository with one commit of these files, or without a commit for no files."""
    at.mkdir(parents=True)
    git(at, "init", "-q", "-b", "main", *init)
    if files:
        write(at, files)
        git(at, "add", "-A")
        git(at, "commit", "-qm", "First")
    return at


def commit_all(at: Path, message: str = "Work") -> str:
    git(at, "add", "-A")
    git(at, "commit", "-qm", message)
    return git(at, "rev-parse", "HEAD")


def tree_of_directory(at: Path) -> str:
    """Return the tree that git makes of a working tree now, without a change of its index."""
    scratch = at.parent / f"index-{at.name}"
    source = at / git(at, "rev-parse", "--git-path", "index")
    if source.exists():
        shutil.copy2(source, scratch)
    words = ["env", f"GIT_INDEX_FILE={scratch}", "git"]
    try:
        run(at, *words, "add", "-A")
        return run(at, *words, "write-tree")
    finally:
        scratch.unlink(missing_ok=True)


def fingerprint(at: Path) -> dict[str, str]:
    """Return everything of a repository that only the person may change, byte for byte."""
    found: dict[str, str] = {}
    for parent, directories, files in os.walk(at):
        directories[:] = [each for each in directories if each != "remote-sandbox"]
        for name in [*files, *directories]:
            path = Path(parent, name)
            status = path.lstat()
            content = (
                os.readlink(path)  # noqa: PTH115
                if path.is_symlink()
                else hashlib.sha256(path.read_bytes()).hexdigest()
                if path.is_file()
                else ""
            )
            found[str(path)] = f"{status.st_mode:o} {content}"
    return found


@dataclass
class Exchange:
    """A repository, and a sandbox at `box`: `push` and `pull` as the commands will do it."""

    top: Path
    box: Path
    path: str = PATH
    include: Sequence[str] = ()
    leave_out: Sequence[str] = ()
    history: bool = False
    is_killed_after_receive: bool = False
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    scratch: Path = field(init=False)
    sent: Sent = field(init=False)
    exported: sandbox_answers.Exported = field(init=False)

    def __post_init__(self) -> None:
        self.scratch = self.box.parent / "home"
        self.scratch.mkdir(exist_ok=True)

    @property
    def repository(self) -> Repository:
        environment = {"PATH": PATH, "HOME": str(self.top.parent), **self.variables}
        return open_repository(str(self.top), Git.of_person(environment))

    @property
    def store(self) -> Store:
        return Store(self.repository)

    def in_sandbox(self, command: str) -> str:
        return run(self.scratch, "bash", "-c", command, path=self.path, home=self.scratch)

    def check(self) -> sandbox_answers.Checked:
        output = self.in_sandbox(sandbox_scripts.check(str(self.box)))
        return sandbox_answers.read_checked(output)

    def push(self) -> tuple[Amount, int]:
        """Send the working tree; return the amount, and the size of the bundle."""
        store = self.store
        found = survey(self.repository, history=self.history)
        decision = decide(found.paths, self.include, self.leave_out)
        checked = self.check()
        require_ours(store, checked)
        with outgoing(
            *(store, NAME, str(self.box), found, decision), sandbox_has=checked.sent
        ) as out:
            if not out.is_needed:
                out.confirm()
                return out.amount, 0
            require_pulled(out, checked)
            bundle = out.bundle()
            target = self.scratch / "in.bundle"
            shutil.copy(bundle.path, target)
            before = store.find(NAME, str(self.box), checked.sent)
            out.announce()
            command = sandbox_scripts.receive(
                out.sent,
                str(target),
                bundle.sha256,
                store.repository.object_format,
                before.known if before else (),
                store.identity,
            )
            received = sandbox_answers.read_received(self.in_sandbox(command))
            if self.is_killed_after_receive:
                raise KeyboardInterrupt
            assert received.head == out.sent.commit
            out.confirm()
            return out.amount, bundle.size

    def export(self, branch: str = "") -> tuple[Sent, sandbox_answers.Exported, Path]:
        sent = require_sent(self.store, self.store.require(NAME), self.check())
        bundle = self.scratch / "out.bundle"
        name = branch or branch_of(self.store, sent)
        output = self.in_sandbox(export_command(self.store, sent, name, str(bundle)))
        return sent, sandbox_answers.read_exported(output), bundle

    @contextmanager
    def checked(self, limits: Limits | None = None, branch: str = "") -> Generator[CheckedWork]:
        self.sent, self.exported, bundle = self.export(branch)
        limits = limits or Limits()
        with incoming(self.store, self.sent, self.exported, bundle, limits) as work:
            yield work

    def pull(self, branch: str = "", *, limits: Limits | None = None) -> tuple[Imported, Summary]:
        """Fetch the work, and make or forward the branch."""
        with self.checked(limits, branch) as work:
            name = branch or branch_of(self.store, self.sent)
            summary = summarize(work)
            imported = import_and_record(self.store, self.sent, work, self.exported, name)
            return imported, summary

    def apply(self, *, allow_runs_later: bool = False) -> Applied:
        """Fetch the work, make or forward the branch, and apply the work to the working tree."""
        self.sent, self.exported, bundle = self.export()
        store, size = self.store, self.exported.size
        come = (
            incoming(store, self.sent, self.exported, bundle, Limits())
            if size
            else known_work(store, self.sent, Limits())
        )
        with come as work:
            if size:
                branch = branch_of(store, self.sent)
                import_and_record(store, self.sent, work, self.exported, branch)
            return apply_and_record(store, self.sent, work, allow_runs_later=allow_runs_later)


def exchange_with_work(tmp_path: Path) -> Exchange:
    """Return a repository that was sent, with one commit of the agent."""
    top = make_repository(tmp_path / "person" / "repository", {"a.txt": "one\n", "d/b.txt": "x\n"})
    (tmp_path / "sandbox").mkdir()
    made = Exchange(top, tmp_path / "sandbox" / "box")
    made.push()
    write(made.box, {"a.txt": "better\n"})
    commit_all(made.box)
    return made
