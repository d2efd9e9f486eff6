"""Things in a sandbox that neither a push nor a pull takes: they stay there, and are told."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from sandbox_client.errors import RepositoryRefused

from tests.client.repository_stub import (
    PATH,
    Exchange,
    commit_all,
    fingerprint,
    git,
    make_repository,
    tree_of_directory,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IGNORED = "*.log\nbuild\n"


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    files: dict[str, str | bytes] = {"a.txt": "one\n", "d/b.txt": "two\n", ".gitignore": IGNORED}
    top = make_repository(tmp_path / "person" / "repository", files)
    (tmp_path / "sandbox").mkdir()
    return Exchange(top, tmp_path / "sandbox" / "box")


def send(exchange: Exchange, files: dict[str, str | bytes]) -> None:
    """Let a push have these files, also those that git ignores."""
    write(exchange.top, files)
    git(exchange.top, "add", "-f", *files)


def state_of(box: Path) -> dict[str, str]:
    """Return all that a push may change, without objects that no ref leads to."""
    return {path: text for path, text in fingerprint(box).items() if "/.git/objects" not in path}


def file(box: Path) -> None:
    write(box, {"x.log": "of the agent\n"})


def link(box: Path) -> None:
    (box / "x.log").symlink_to("nowhere")


def parent(box: Path) -> None:
    write(box, {"build": "of the agent\n"})


def linked_parent(box: Path) -> None:
    write(box, {"real/c": "of the agent\n"})
    commit_all(box)
    (box / "build").symlink_to("real")


def repository(box: Path) -> None:
    make_repository(box / "lib", {"c.txt": "of the agent\n"})


def in_directory(box: Path) -> None:
    write(box, {"d/x.log": "of the agent\n"})


@pytest.mark.parametrize(
    ("make", "sent", "named"),
    [
        (file, "x.log", "x.log"),
        (link, "x.log", "x.log"),
        (parent, "build/c", "build"),
        (linked_parent, "build/c", "build"),
        (repository, "lib/new.txt", "lib/"),
        (repository, "lib", "lib/"),
        (repository, "lib/c.txt", "lib/"),
        (in_directory, "d", "d/x.log"),
    ],
)
def test_a_push_replaces_nothing_that_was_not_fetched(
    exchange: Exchange, make: Callable[[Path], None], sent: str, named: str
) -> None:
    exchange.push()
    make(exchange.box)
    exchange.pull() if exchange.export()[1].size else None
    before = state_of(exchange.box)
    if sent == "d":
        shutil.rmtree(exchange.top / "d")
    send(exchange, {sent: "mine\n"})

    with pytest.raises(RepositoryRefused, match=rf"in the way of .*: {named}$"):
        exchange.push()

    assert state_of(exchange.box) == before
    write(exchange.box, {"a.txt": "work\n"})
    exchange.pull()
    assert git(exchange.top, "show", "sandbox/box:a.txt") == "work"
    (exchange.box / named.rstrip("/")).rename(exchange.box.parent / "renamed")
    exchange.push()
    assert tree_of_directory(exchange.box) == tree_of_directory(exchange.top)


def test_the_first_names_of_many_are_told(exchange: Exchange) -> None:
    exchange.push()
    files: dict[str, str | bytes] = {f"{n}\n'.log": "x" for n in range(7)}
    write(exchange.box, files)
    send(exchange, dict.fromkeys(files, "mine"))

    with pytest.raises(RepositoryRefused, match=r"0\?\?.log, 1\?\?.log, .*4\?\?.log and 2 more$"):
        exchange.push()


def test_files_that_are_not_in_the_way(exchange: Exchange) -> None:
    write(exchange.top, {"t": "x\n", "u/v": "x\n", "same.log": "x\n"})
    exchange.push()
    write(exchange.box, {"left.txt": "x\n", "other.log": "x\n", "same.log": "x\n", "d/c.log": "x"})
    exchange.pull()
    (exchange.top / "t").unlink()
    shutil.rmtree(exchange.top / "u")
    send(exchange, {"t/w": "x\n", "u": "x\n", "same.log": "x\n", "left.txt": "y\n", "d/n": "x\n"})

    exchange.push()

    assert tree_of_directory(exchange.box) == tree_of_directory(exchange.top)
    assert (exchange.box / "other.log").exists()


def test_a_submodule_that_the_agent_has_filled(exchange: Exchange, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library", {"lib.txt": "x\n"})
    words = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    git(exchange.top, *words)
    commit_all(exchange.top)
    exchange.push()
    write(exchange.box, {"lib/new.txt": "of the agent\n"})
    git(exchange.top, "rm", "-q", "-f", "lib")
    send(exchange, {"lib/new.txt": "mine\n"})

    with pytest.raises(RepositoryRefused, match=r": lib/new\.txt$"):
        exchange.push()

    assert (exchange.box / "lib" / "new.txt").read_text() == "of the agent\n"
    git(exchange.top, "rm", "-q", "-f", "lib/new.txt")
    write(exchange.box, {"lib/x": "x\n"})
    git(exchange.box / "lib", "init", "-q")
    send(exchange, {"lib": "mine\n"})
    with pytest.raises(RepositoryRefused, match=r": lib/$"):
        exchange.push()


def at(exchange: Exchange, subcommand: str, action: str) -> None:
    """Let the sandbox do something just before git runs a subcommand there."""
    program = exchange.box.parent / "bin" / "git"
    case = f'case " $* " in *" {subcommand} "*) {action};; esac'
    git_itself = shutil.which("git", path=PATH)
    write(program.parent, {"git": f'#!/bin/sh\n{case}\nexec {git_itself} "$@"\n'})
    program.chmod(0o755)
    exchange.path = f"{program.parent}:{PATH}"


def test_a_file_that_the_agent_saves_while_git_unpacks_is_not_replaced(exchange: Exchange) -> None:
    exchange.push()
    write(exchange.top, {"d/b.txt": "mine\n"})
    at(exchange, "unbundle", "echo of the agent >d/b.txt")

    with pytest.raises(RepositoryRefused, match="changes that were not pulled"):
        exchange.push()

    exchange.pull()
    assert git(exchange.top, "show", "sandbox/box:d/b.txt") == "of the agent"


def break_off(exchange: Exchange) -> None:
    """Let a push be killed at its checkout."""
    at(exchange, "checkout", 'kill -9 "$(cat .git/remote-sandbox-pid)"; exit 1')
    with pytest.raises(AssertionError):
        exchange.push()
    exchange.path = PATH
    assert git(exchange.box, "config", "remote-sandbox.receiving")


def branches_with(at: Path, commit: str) -> list[str]:
    return git(at, "branch", "--contains", commit, "--format=%(refname:short)").split()


def test_work_after_a_push_that_broke_off_stays_in_the_sandbox(exchange: Exchange) -> None:
    exchange.push()
    write(exchange.top, {"a.txt": "mine\n"})
    break_off(exchange)
    write(exchange.box, {"d/b.txt": "hours of work\n"})
    commit = commit_all(exchange.box)
    write(exchange.box, {"new.txt": "left\n"})

    exchange.push()

    assert (exchange.box / "a.txt").read_text() == "mine\n"
    assert branches_with(exchange.box, commit) == [f"kept/{commit[:10]}"]
    assert git(exchange.box, "show", "refs/remote-sandbox/kept:new.txt") == "left"


@pytest.mark.parametrize(
    ("sent", "made", "kept"),
    [("main", "other", "kept/"), ("main", "kept", "kept-"), ("kept", "other", "kept-")],
)
def test_a_push_keeps_the_commits_of_a_branch_that_it_moves(
    exchange: Exchange, sent: str, made: str, kept: str
) -> None:
    git(exchange.top, "branch", "-m", sent)
    exchange.push()
    write(exchange.box, {"d/b.txt": "hours of work\n"})
    commit = commit_all(exchange.box)
    git(exchange.box, "checkout", "-q", "-b", made, "HEAD~1")
    write(exchange.top, {"a.txt": "mine\n"})

    exchange.push()

    assert (exchange.box / "a.txt").read_text() == "mine\n"
    assert branches_with(exchange.box, commit) == [f"{kept}{commit[:10]}"]


def test_a_checkout_that_fails_is_undone(exchange: Exchange) -> None:
    write(exchange.top, {"gone.txt": "x\n"})
    exchange.push()
    write(exchange.box, {"a.txt": "of the agent\n", "left.txt": "x\n"})
    exchange.pull()
    git(exchange.box, "branch", "-m", "main", "other")
    git(exchange.box, "branch", "main/x")
    git(exchange.box, "add", "left.txt")
    before = state_of(exchange.box)
    (exchange.top / "gone.txt").unlink()
    for text in ("once", "twice"):  # the sandbox lacks the first: its history ends elsewhere then
        write(exchange.top, {"a.txt": text, "new/mine.txt": text})
        commit_all(exchange.top)

    with pytest.raises(RepositoryRefused, match=r"cannot check out the commit .*: .*main/x"):
        exchange.push()

    assert state_of(exchange.box) == before
    commit_all(exchange.box, "Later work")
    exchange.pull()
    assert "Later work" in git(exchange.top, "log", "--format=%s", "sandbox/box")
    git(exchange.box, "branch", "-m", "main/x", "x")
    exchange.push()
    assert tree_of_directory(exchange.box) == tree_of_directory(exchange.top)


def test_a_repeated_push_replaces_nothing_either(exchange: Exchange) -> None:
    exchange.push()
    send(exchange, {"new.txt": "mine\n", "x.log": "mine\n"})
    file(exchange.box)
    (exchange.box / "x.log").rename(exchange.box / "y.log")
    break_off(exchange)
    write(exchange.box, {"new.txt": "of the agent\n"})
    file(exchange.box)
    with pytest.raises(RepositoryRefused, match=r"in the way of .*: x\.log$"):
        exchange.push()
    write(exchange.box, {"new.txt": "of the agent again\n"})
    (exchange.box / "x.log").unlink()

    exchange.push()

    assert tree_of_directory(exchange.box) == tree_of_directory(exchange.top)
    kept = git(exchange.box, "log", "--format=%H", "refs/remote-sandbox/kept", "--", "new.txt")
    texts = [git(exchange.box, "show", f"{each}:new.txt") for each in kept.split()]
    assert texts == ["of the agent again", "of the agent"]


def test_a_first_push_that_broke_off_keeps_the_files_that_came_after_it(exchange: Exchange) -> None:
    exchange.push()
    for each in ("HEAD", "refs/remote-sandbox/sent"):
        git(exchange.box, "update-ref", "-d", each)
    (exchange.box / ".git" / "index").unlink()
    git(exchange.box, "config", "remote-sandbox.receiving", exchange.store.require("box").commit)
    write(exchange.box, {"a.txt": "of the agent\n", "x.log": "x\n"})

    exchange.push()

    assert (exchange.box / "a.txt").read_text() == "one\n"
    assert git(exchange.box, "show", "refs/remote-sandbox/kept:a.txt") == "of the agent"


@pytest.mark.parametrize("option", ["--assume-unchanged", "--skip-worktree"])
def test_changes_that_git_is_told_to_overlook_come_back(exchange: Exchange, option: str) -> None:
    exchange.push()
    git(exchange.box, "update-index", option, "d/b.txt")
    assert not exchange.check().has_work
    write(exchange.box, {"d/b.txt": "of the agent\n"})
    write(exchange.top, {"d/b.txt": "mine\n"})
    assert exchange.check().has_work
    with pytest.raises(RepositoryRefused, match="changes that were not pulled"):
        exchange.push()

    exchange.pull()

    assert git(exchange.top, "show", "sandbox/box:d/b.txt") == "of the agent"
    exchange.push()
    assert (exchange.box / "d" / "b.txt").read_text() == "mine\n"


def test_a_sparse_checkout_of_the_agent(exchange: Exchange) -> None:
    write(exchange.top, {"e/c.txt": "x\n", "e/d.txt": "x\n"})
    exchange.push()
    git(exchange.box, "sparse-checkout", "set", "d")
    assert not exchange.check().has_work
    write(exchange.box, {"e/c.txt": "of the agent\n"})

    _, summary = exchange.pull()

    assert [(each.path, each.status) for each in summary.files] == [("e/c.txt", "M")]


@pytest.mark.parametrize("words", [("-b", "other"), ("--detach",)])
def test_branches_that_are_not_checked_out_are_counted(
    exchange: Exchange, words: tuple[str, ...]
) -> None:
    exchange.push()
    assert exchange.export()[1].branches == 0
    git(exchange.box, "checkout", "-q", *words)

    assert exchange.export()[1].branches == 1


def test_stashes_and_repositories_within_the_directory_are_counted(
    exchange: Exchange, tmp_path: Path
) -> None:
    library = make_repository(tmp_path / "library", {"lib.txt": "x\n"})
    words = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    git(exchange.top, *words)
    commit_all(exchange.top)
    exchange.push()
    none = exchange.export()[1]
    for text in ("one", "two"):
        write(exchange.box, {"a.txt": text})
        git(exchange.box, "stash", "-q")
    make_repository(exchange.box / "new\ninner", {"x.txt": "x\n"})
    git(exchange.box / "lib", "init", "-q")

    exported = exchange.export()[1]

    assert (none.stashes, none.inner) == (0, 0)
    assert (exported.stashes, exported.inner, exported.size) == (2, 2, 0)


def test_a_git_directory_that_the_agent_has_moved(exchange: Exchange) -> None:
    exchange.push()
    git(exchange.box, "init", "-q", "--separate-git-dir", str(exchange.box.parent / "moved.git"))
    write(exchange.box, {"a.txt": "of the agent\n"})
    exchange.pull()
    git(exchange.top, "merge", "-q", "sandbox/box")
    write(exchange.top, {"a.txt": "mine\n"})
    commit_all(exchange.top)
    git(exchange.box, "config", "remote-sandbox.receiving", "x")
    (exchange.box.parent / "moved.git" / "index.lock").write_text("")

    exchange.push()

    assert git(exchange.box, "rev-parse", "HEAD^{tree}") == tree_of_directory(exchange.top)
    assert git(exchange.box, "fsck", "--no-dangling") == ""
    exchange.history = True
    exchange.push()
    assert git(exchange.box, "log", "--format=%s").endswith("First")


def test_a_worktree_of_the_repository_is_not_taken_for_it(exchange: Exchange) -> None:
    exchange.push()
    linked = exchange.box.parent / "linked"
    git(exchange.box, "worktree", "add", "-q", str(linked))
    write(exchange.top, {"a.txt": "two\n"})

    with pytest.raises(RepositoryRefused, match="files that were not sent from here"):
        Exchange(exchange.top, linked).push()

    assert (linked / "a.txt").read_text() == "one\n"
    write(exchange.box, {"a.txt": "work\n"})
    exchange.pull()


def test_copies_of_a_moved_repository_replace_no_work(exchange: Exchange) -> None:
    exchange.push()
    first, second = (exchange.top.with_name(each) for each in ("copy", "moved"))
    shutil.copytree(exchange.top, first, symlinks=True)
    exchange.top.rename(second)
    copy, moved = Exchange(first, exchange.box), Exchange(second, exchange.box)
    write(copy.top, {"a.txt": "two\n"})
    copy.push()
    write(copy.box, {"d/b.txt": "work\n"})
    write(moved.top, {"a.txt": "three\n"})

    assert copy.store.identity == moved.store.identity
    for command in (moved.push, moved.pull):
        with pytest.raises(RepositoryRefused, match="another push than the last one") as caught:
            command()
        assert "--directory DIR" in caught.value.advice
    copy.pull()
    assert git(copy.top, "show", "sandbox/box:d/b.txt") == "work"


def test_pushes_that_are_refused_do_not_forget_the_one_that_arrived(exchange: Exchange) -> None:
    exchange.push()
    write(exchange.box, {"a.txt": "work\n"})
    for number in range(5):
        write(exchange.top, {"d/b.txt": f"{number}\n"})
        with pytest.raises(RepositoryRefused, match="changes that were not pulled"):
            exchange.push()

    exchange.pull()

    assert git(exchange.top, "show", "sandbox/box:a.txt") == "work"
