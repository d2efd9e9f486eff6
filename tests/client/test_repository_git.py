"""Git on this machine: its environment, its limits, and which repositories it works on."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sandbox_client.errors import GitFailed, InvalidInput, LocalFileError, RepositoryRefused
from sandbox_client.repository.git import Git, ProcessLimits
from sandbox_client.repository.local import open_repository
from sandbox_client.repository.names import decode, encode, shown
from sandbox_client.repository.outgoing import sandbox_directory
from sandbox_client.repository.process import Interrupt
from sandbox_client.repository.records import Sent, Withheld
from sandbox_client.repository.snapshot import survey, take_snapshot
from sandbox_client.repository.store import Store

from tests.client.repository_stub import PATH, fingerprint, git, make_repository, write

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_client.repository.local import Repository

ENVIRONMENT = {"PATH": PATH, "HOME": "/nonexistent"}


@pytest.fixture
def person() -> Git:
    return Git.of_person(ENVIRONMENT)


def stub(at: Path, script: str) -> dict[str, str]:
    """Return an environment with a program in place of git."""
    program = at / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{PATH}"}


def sent(sandbox: str = "box") -> Sent:
    return Sent(sandbox, "/sandbox/x", "main", "1" * 40, "2" * 40, "2" * 40, ("1" * 40,))


def test_git_is_missing(tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="git is not on the PATH") as caught:
        Git.of_person({"PATH": str(tmp_path)})

    assert "remote-sandbox cp" in caught.value.advice


@pytest.mark.parametrize("said", ["git version 2.24.9", "git version 1.9", "no version"])
def test_git_is_too_old(tmp_path: Path, said: str) -> None:
    with pytest.raises(GitFailed, match="is too old"):
        Git.of_person(stub(tmp_path, f"echo '{said}'"))


def test_variables_of_git_do_not_reach_it() -> None:
    variables = {"GIT_DIR": "/x", "GIT_INDEX_FILE": "/x", "GIT_SSH_COMMAND": "evil", "EDITOR": "vi"}

    real = Git.of_person({**ENVIRONMENT, **variables})

    assert not {"GIT_DIR", "GIT_INDEX_FILE", "GIT_SSH_COMMAND", "EDITOR"} & real.environ.keys()
    assert real.environ["GIT_TERMINAL_PROMPT"] == "0"


def test_the_configuration_of_the_person_may_come_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "PATH": PATH,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.excludesFile",
        "GIT_CONFIG_VALUE_0": "/ignored",
    }
    person = Git.of_person(environ).at(str(tmp_path))

    assert person.text("config", "core.excludesFile") == "/ignored"
    isolated = person.isolated(ProcessLimits())
    assert isolated.text("config", "core.excludesFile") == "/dev/null"


def test_isolated_git_reads_no_settings_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Person\n")
    person = Git.of_person({"PATH": PATH, "HOME": str(tmp_path)}).at(str(tmp_path))

    alone = person.isolated(ProcessLimits())

    assert person.text("config", "user.name") == "Person"
    assert alone.ask("config", "user.name").code == 1


def test_git_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    slow = Git(
        stub(tmp_path, "sleep 1000 & sleep 1000")["PATH"].partition(":")[0] + "/git", ENVIRONMENT
    )
    with pytest.raises(GitFailed, match="took longer than 0 s"):
        replace(slow, deadline=0.2).run("status")


def test_git_has_no_terminal(tmp_path: Path) -> None:
    program = f"exec {sys.executable} -c 'import os; print(os.getsid(0) == os.getpid())'"
    real = Git(stub(tmp_path, program)["PATH"].partition(":")[0] + "/git", ENVIRONMENT)

    assert real.text("add") == "True"


def filtered(person: Git, at: Path, command: str) -> Repository:
    """Return a repository with a changed file and a filter for it."""
    top = make_repository(at / "repository", {"a.txt": "x\n"})
    git(top, "config", "filter.test.clean", command)
    git(top, "config", "filter.test.required", "true")
    write(top, {".gitattributes": "a.txt filter=test\n", "a.txt": "changed\n"})
    return open_repository(str(top), person)


def test_a_filter_that_waits_is_ended(person: Git, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")
    command = f"cat '{tmp_path}/never'"
    repository = filtered(replace(person, deadline=1.0), tmp_path, command)

    with (
        pytest.raises(GitFailed, match="git add took longer than 1 s") as caught,
        Store(repository).stage() as stage,
    ):
        take_snapshot(repository, survey(repository), stage)

    assert "a filter of its configuration may wait" in caught.value.advice


def test_a_filter_that_leaves_a_process_holds_nothing_up(person: Git, tmp_path: Path) -> None:
    repository = filtered(person, tmp_path, "sleep 1000 >/dev/null & cat")

    with Store(repository).stage() as stage:
        snapshot = take_snapshot(repository, survey(repository), stage)
        content = stage.git.text("show", f"{snapshot.commit}:a.txt")

    assert content == "changed"


def test_git_that_prints_without_end_is_ended(tmp_path: Path) -> None:
    loud = Git(stub(tmp_path, "yes")["PATH"].partition(":")[0] + "/git", ENVIRONMENT)

    with pytest.raises(GitFailed, match="printed more than 1000 bytes"):
        loud.run("log", max_output=1000)


def test_git_that_does_not_read_its_input(tmp_path: Path) -> None:
    deaf = Git(stub(tmp_path, "echo done")["PATH"].partition(":")[0] + "/git", ENVIRONMENT)

    assert deaf.run("apply", stdin=b"x" * 1_000_000) == b"done\n"


def test_git_cannot_be_started(person: Git) -> None:
    with pytest.raises(GitFailed, match="cannot be started"):
        person.at("/nonexistent").run("status")


def test_a_failure_has_the_first_reason_of_git(person: Git, tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match=r"^git cat-file failed: fatal: .*not a git repository"):
        person.at(str(tmp_path)).run("cat-file", "-p", "HEAD")


def test_no_repository(person: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RepositoryRefused) as caught:
        open_repository(".", person)

    assert caught.value.message == f"{tmp_path.resolve()} is not in a git repository"
    assert caught.value.advice.startswith(
        "Name your repository: go to its directory, or add `--repo DIR`"
    )
    assert "remote-sandbox cp" in caught.value.advice


def test_no_directory(person: Git, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="is not a directory"):
        open_repository(str(tmp_path / "missing"), person)


@pytest.mark.parametrize("where", ["bare", "repository/.git"])
def test_a_repository_without_a_working_tree(person: Git, tmp_path: Path, where: str) -> None:
    make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    git(tmp_path, "init", "-q", "--bare", "bare")

    with pytest.raises(RepositoryRefused, match="without a working tree"):
        open_repository(str(tmp_path / where), person)


def test_a_repository_of_another_user(tmp_path: Path) -> None:
    script = 'case "$*" in *version*) echo git version 2.40;; *) echo "fatal: detected dubious'
    environment = stub(tmp_path, f'{script} ownership" >&2; exit 128;; esac')

    with pytest.raises(RepositoryRefused, match="belongs to another user"):
        open_repository(str(tmp_path), Git.of_person(environment))


def test_a_head_that_leads_nowhere(person: Git, tmp_path: Path) -> None:
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    (top / ".git" / "refs" / "heads" / "main").write_text("1" * 40 + "\n")

    with pytest.raises(GitFailed, match="HEAD leads to no commit"):
        open_repository(str(top), person)


def test_a_directory_below_the_top(person: Git, tmp_path: Path) -> None:
    top = make_repository(tmp_path / "repository", {"d/a.txt": "x\n"})

    found = open_repository(str(top / "d"), person)

    assert (found.top, found.branch) == (str(top), "main")
    assert found.head == git(top, "rev-parse", "HEAD")


def test_a_survey_names_what_goes_and_what_stays(person: Git, tmp_path: Path) -> None:
    top = make_repository(
        tmp_path / "repository", {"a.txt": "x\n", "gone.txt": "x\n", ".gitignore": "*.log\n"}
    )
    git(top, "rm", "-q", "--cached", "gone.txt")
    (top / "gone.txt").unlink()
    make_repository(top / "inner", {"x": "x\n"})
    write(top, {"new.txt": "x\n", "x.log": "x\n", ".gitattributes": "*.txt filter=lfs\n"})
    (top / ".git" / "MERGE_HEAD").write_text("")
    before = fingerprint(top)

    found = survey(open_repository(str(top), person))

    assert fingerprint(top) == before
    assert found.paths == (".gitattributes", ".gitignore", "a.txt", "gone.txt", "new.txt")
    assert found.untracked == (".gitattributes", "new.txt")
    assert found.embedded == ("inner/",)
    assert (found.lfs_files, found.in_progress) == (1, "a merge")


def test_a_snapshot_names_changes_and_repositories_that_it_does_not_have(
    person: Git, tmp_path: Path
) -> None:
    names = ("a.txt", "b.txt", "same.txt", "sparse.txt", "unseen.txt", "inner")
    top = make_repository(tmp_path / "repository", dict.fromkeys(names, "x\n"))
    git(top, "update-index", "--assume-unchanged", "a.txt", "same.txt", "unseen.txt")
    git(top, "update-index", "--skip-worktree", "b.txt", "sparse.txt")
    write(top, {"a.txt": "y\n", "b.txt": "y\n", "same.txt": "x\n"})
    for each in ("sparse.txt", "unseen.txt", "inner"):
        (top / each).unlink()
    make_repository(top / "inner", {"x": "x\n"})
    repository = open_repository(str(top), person)
    before = fingerprint(top)

    with Store(repository).stage() as stage:
        snapshot = take_snapshot(repository, survey(repository), stage)
        tree = stage.git.names("ls-tree", "-r", "-z", "--name-only", snapshot.commit)

    assert snapshot.overlooked == ("a.txt", "b.txt", "unseen.txt")
    assert snapshot.embedded == ("inner",)
    assert tree == sorted(set(names) - {"inner"})
    assert fingerprint(top) == before


@pytest.mark.parametrize(
    ("given", "directory"),
    [
        ("project", "/sandbox/project"),
        ("/sandbox/project/", "/sandbox/project"),
        ("./a//b/.", "/sandbox/a/b"),
        ("my project/caf\u00e9", "/sandbox/my project/caf\u00e9"),
    ],
)
def test_a_directory_for_a_repository(given: str, directory: str) -> None:
    assert sandbox_directory(given) == directory


@pytest.mark.parametrize(
    "given",
    [
        *("", ".", "./", "/", "/sandbox", "/sandbox/", "~", "~/project", "~ann", " ", "\t", "a/ "),
        *("..", "a/..", "../x", "/sandbox/../etc", "/sandbox/a/../b", "/etc", "/sandboxes/a"),
        *("a\nb", "a\x1b[2J", "a\0b", "\u202ea", "a\udcff", "/sandbox/.git/a", "a" * 256),
    ],
)
def test_a_directory_that_no_repository_can_have(given: str) -> None:
    with pytest.raises(InvalidInput):
        sandbox_directory(given)


def test_a_record_is_read_as_it_was_written(person: Git, tmp_path: Path) -> None:
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    store = Store(open_repository(str(top), person))
    record = replace(sent(), withheld=(Withheld("100644", "3" * 40, "\udce9.env"),))

    store.save(record)

    assert store.load("box") == record
    assert store.all() == [record]
    assert store.find("box", record.directory, record.commit) == record
    assert store.find("box", "/sandbox/other", record.commit) is None
    assert Store(store.repository, "https://other.test").load("box") is None


def test_a_record_of_the_last_push_stays_the_newest(person: Git, tmp_path: Path) -> None:
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    store = Store(open_repository(str(top), person))
    first, last = sent(), replace(sent(), directory="/sandbox/last")
    store.save(first)
    (record,) = (top / ".git" / "remote-sandbox" / "sent").glob("*/*.json")
    os.utime(record, (1, 1))
    store.save(last)

    store.update(first.after_pull("3" * 40, "3" * 40))

    assert store.load("box") == last
    assert store.imported("box") == [(first.directory, "3" * 40)]


def test_the_last_push_is_the_newest_although_the_clock_was_turned_back(
    person: Git, tmp_path: Path
) -> None:
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    store = Store(open_repository(str(top), person))
    for number in range(5):
        store.save(replace(sent(), commit=f"{number}" * 40))
    future = time.time() + 3600
    for each in (top / ".git" / "remote-sandbox" / "sent").glob("*/*.json"):
        os.utime(each, (future, future))
    last = replace(sent(), commit="a" * 40)
    store.save(last)

    list(store.forget_old(last))

    assert store.load("box") == last


def two_worktrees(person: Git, tmp_path: Path) -> tuple[Store, Store]:
    """Return the stores of a repository and of a linked worktree of it."""
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    git(top, "worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked"))
    places = (top, tmp_path / "linked")
    main, linked = (Store(open_repository(str(each), person)) for each in places)
    return main, linked


def test_each_worktree_has_its_records(person: Git, tmp_path: Path) -> None:
    main, linked = two_worktrees(person, tmp_path)
    of_main = replace(sent(), directory="/sandbox/main")
    of_linked = replace(sent(), directory="/sandbox/linked", worktree=linked.repository.worktree)
    main.save(of_main)
    assert (linked.load_own("box"), linked.load("box")) == (None, of_main)
    linked.save(of_linked)

    assert (main.load_own("box"), linked.load_own("box")) == (of_main, of_linked)
    assert sorted(each.directory for each in main.all()) == ["/sandbox/linked", "/sandbox/main"]
    linked.require_own("box", "/sandbox/linked")
    with pytest.raises(RepositoryRefused, match=f"of another worktree .*, {tmp_path}/repository"):
        linked.require_own("box", "/sandbox/main")
    with pytest.raises(RepositoryRefused, match=f"of another worktree .*, {tmp_path}/linked"):
        main.require_own("box", "/sandbox/linked")


def test_the_directory_of_a_worktree_that_was_removed_may_be_taken(
    person: Git, tmp_path: Path
) -> None:
    main, linked = two_worktrees(person, tmp_path)
    main.save(replace(sent(), worktree=linked.repository.worktree))
    git(tmp_path / "repository", "worktree", "remove", str(tmp_path / "linked"))

    main.require_own("box", sent().directory)


def test_a_copy_of_a_repository_is_another_one(person: Git, tmp_path: Path) -> None:
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    mine = Store(open_repository(str(top), person)).identity

    shutil.copytree(top, tmp_path / "copy")
    copied = Store(open_repository(str(tmp_path / "copy"), person)).identity
    again = Store(open_repository(str(tmp_path / "copy"), person)).identity
    assert Store(open_repository(str(top), person)).identity == mine
    top.rename(tmp_path / "moved")
    moved = Store(open_repository(str(tmp_path / "moved"), person)).identity

    assert (moved, again) == (mine, copied)
    assert copied != mine


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"withheld": 1}', '{"withheld": [{}]}'])
def test_a_damaged_record(person: Git, tmp_path: Path, text: str) -> None:
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    store = Store(open_repository(str(top), person))
    store.save(sent())
    (record,) = (top / ".git" / "remote-sandbox" / "sent").glob("*/*.json")
    record.write_text(text)

    with pytest.raises(LocalFileError, match="record of what was sent"):
        store.load("box")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\n"])
def test_a_record_is_for_the_name_of_a_sandbox(person: Git, tmp_path: Path, name: str) -> None:
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})

    with pytest.raises(InvalidInput, match="is not a sandbox's name"):
        Store(open_repository(str(top), person)).load(name)


def test_what_a_killed_process_left_goes_a_day_later(person: Git, tmp_path: Path) -> None:
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    repository = open_repository(str(top), person)
    left = repository.store_dir / "tmp-left"
    left.mkdir(parents=True)
    written = left.stat().st_mtime

    with Store(repository, clock=lambda: written + 3600).stage():
        assert left.exists()
    with Store(repository, clock=lambda: written + 25 * 3600).stage():
        assert not left.exists()


def test_names_are_kept_and_shown_safely() -> None:
    raw = b"caf\xe9\x1b[2J\n"

    assert encode(decode(raw)) == raw
    assert shown(decode(raw)) == "caf\\xe9\\x1b[2J\\n"
    assert shown("n\u00e4 \u202e \U000e0001") == "n\u00e4 \\u202e \\U000e0001"
    assert shown("x" * 300) == "x" * 199 + "\u2026"


def test_a_store_that_cannot_be_made(person: Git, tmp_path: Path) -> None:
    top = make_repository(tmp_path / "repository", {"a.txt": "x\n"})
    (top / ".git" / "remote-sandbox").write_text("")

    with (
        pytest.raises(LocalFileError, match="cannot be made"),
        Store(open_repository(str(top), person)).stage(),
    ):
        pass


def test_git_is_ended_from_another_thread(person: Git, tmp_path: Path) -> None:
    interrupt = Interrupt()
    git_here = replace(person, interrupt=interrupt).at(str(tmp_path))
    reading, writing = os.pipe()
    threading.Timer(0.05, interrupt.stop).start()
    with os.fdopen(reading, "rb") as endless, os.fdopen(writing, "wb"):
        with pytest.raises(GitFailed, match="ended with code -9"):
            git_here.run("hash-object", "--stdin", stdin=endless)
        with pytest.raises(GitFailed, match="ended with code -9"):  # also one that starts later
            git_here.run("hash-object", "--stdin", stdin=endless)
