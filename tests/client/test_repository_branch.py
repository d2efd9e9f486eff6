"""The branch that work becomes, and its changes in the working tree."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_client.errors import GitFailed, InvalidInput, RepositoryRefused
from sandbox_client.repository.branch import (
    branch_of,
    earlier_branch,
    import_work,
    is_in_the_way,
    require_free,
)
from sandbox_client.repository.git import Git
from sandbox_client.repository.summary import read_patch

from tests.client.repository_stub import (
    PATH,
    Exchange,
    commit_all,
    exchange_with_work,
    fingerprint,
    git,
    make_repository,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_client.repository.process import Finished
    from sandbox_client.repository.quarantine import CheckedWork

BRANCH = "sandbox/box"


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return exchange_with_work(tmp_path)


def refused(exchange: Exchange, branch: str = "") -> str:
    before = fingerprint(exchange.top)
    with pytest.raises(RepositoryRefused) as caught:
        exchange.pull(branch)
    assert fingerprint(exchange.top) == before
    return caught.value.message


def test_another_branch(exchange: Exchange) -> None:
    imported, _ = exchange.pull("topic/x")

    assert git(exchange.top, "rev-parse", "topic/x") == imported.new
    assert git(exchange.top, "branch", "--list", BRANCH) == ""


@pytest.mark.parametrize("name", ["", "a..b", "-d", "a b", "HEAD", "a.lock", "../x", "a\n"])
def test_a_name_that_no_branch_can_have(exchange: Exchange, name: str) -> None:
    with exchange.checked() as work, pytest.raises(InvalidInput, match="name of a branch"):
        import_work(exchange.repository, work, name)


def test_the_branch_that_is_checked_out(exchange: Exchange) -> None:
    assert "'main' is checked out" in refused(exchange, "main")


def test_a_branch_that_is_checked_out_in_a_worktree(exchange: Exchange) -> None:
    git(exchange.top, "worktree", "add", "-q", "-b", BRANCH, str(exchange.top.parent / "other"))

    assert "is checked out in" in refused(exchange)


def test_a_branch_without_a_commit_that_is_checked_out(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "repository")
    write(top, {"a.txt": "x\n"})
    (tmp_path / "sandbox").mkdir()
    exchange = Exchange(top, tmp_path / "sandbox" / "box")
    exchange.push()
    write(exchange.box, {"a.txt": "y\n"})

    assert "'main' is checked out" in refused(exchange, "main")


def begin(at: Path, *words: str) -> None:
    """Begin a rebase or a bisection, which stops for the person."""
    environment = {"PATH": PATH, "HOME": str(at.parent), "GIT_SEQUENCE_EDITOR": "sed -i 1ibreak"}
    subprocess.run(("git", *words), cwd=at, env=environment, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rebase", "-i", "main"], "in the middle of a rebase in .*/other"),
        (["bisect", "start"], "in the middle of a bisection in .*/other"),
    ],
)
@pytest.mark.parametrize("in_main", [False, True])
def test_a_branch_that_is_rebased_or_bisected(
    exchange: Exchange, words: list[str], message: str, *, in_main: bool
) -> None:
    exchange.pull()
    write(exchange.box, {"a.txt": "best\n"})
    at = exchange.top
    if in_main:
        message = message.replace("other", "repository")
        git(at, "checkout", "-q", BRANCH)
    else:
        at = exchange.top.parent / "other"
        git(exchange.top, "worktree", "add", "-q", str(at), BRANCH)
    begin(at, *words)
    git(at, "checkout", "-q", "--detach")

    assert re.search(message, refused(exchange))
    exchange.pull("another")


def test_a_branch_that_a_rebase_of_another_one_moves(exchange: Exchange) -> None:
    exchange.pull()
    write(exchange.box, {"a.txt": "best\n"})
    git(exchange.top, "checkout", "-q", "-b", "topic", BRANCH)
    write(exchange.top, {"mine.txt": "x\n"})
    commit_all(exchange.top)
    begin(exchange.top, "rebase", "-i", "--update-refs", "main")

    assert "in the middle of a rebase" in refused(exchange)


def test_a_branch_without_a_commit_in_a_worktree(exchange: Exchange) -> None:
    git(exchange.top, "worktree", "add", "-q", "--detach", str(exchange.top.parent / "other"))
    git(exchange.top.parent / "other", "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")

    assert "is checked out in" in refused(exchange)


def test_a_branch_that_diverged(exchange: Exchange) -> None:
    exchange.pull()
    git(exchange.top, "checkout", "-q", BRANCH)
    write(exchange.top, {"mine.txt": "x\n"})
    commit_all(exchange.top, "Mine")
    git(exchange.top, "checkout", "-q", "main")
    write(exchange.box, {"a.txt": "best\n"})

    assert "has commits that the work in the sandbox does not have" in refused(exchange)


def test_a_branch_with_the_work_on_an_earlier_push_stays(exchange: Exchange) -> None:
    first = exchange.pull()[0]
    write(exchange.top, {"a.txt": "mine\n"})
    commit_all(exchange.top, "Not the agent's")
    exchange.push()
    write(exchange.box, {"a.txt": "second\n"})

    second = exchange.pull()[0]
    assert (second.branch, second.old) == (f"{BRANCH}_2", "")
    assert git(exchange.top, "rev-parse", BRANCH) == first.new
    write(exchange.box, {"a.txt": "more\n"})
    assert exchange.pull()[0].branch == f"{BRANCH}_2"
    # Merged, the second branch goes forward with the next push; also without its record.
    git(exchange.top, "merge", "-q", f"{BRANCH}_2")
    exchange.push()
    write(exchange.box, {"a.txt": "third\n"})
    assert exchange.pull()[0].branch == f"{BRANCH}_2"
    git(exchange.top, "reset", "-q", "--hard", "HEAD~1")
    for number in range(5):
        write(exchange.top, {"a.txt": f"{number}\n"})
        exchange.push()
    write(exchange.box, {"a.txt": "fourth\n"})
    assert exchange.pull()[0].branch == f"{BRANCH}_3"


def test_the_branch_that_has_the_work_goes_forward_without_the_first_one(
    exchange: Exchange,
) -> None:
    exchange.pull()
    write(exchange.top, {"a.txt": "mine\n"})
    commit_all(exchange.top)
    exchange.push()
    write(exchange.box, {"a.txt": "second\n"})
    exchange.pull()
    assert earlier_branch(exchange.repository, f"{BRANCH}_2") == BRANCH
    git(exchange.top, "branch", "-D", BRANCH)
    write(exchange.box, {"a.txt": "more\n"})

    assert exchange.pull()[0].branch == f"{BRANCH}_2"
    assert earlier_branch(exchange.repository, f"{BRANCH}_2") == ""


@pytest.mark.parametrize(
    ("directory", "branch"), [("x.y", "x-y"), ("a/b c", "a-b-c"), ("lock", "lock-"), ("..", "root")]
)
def test_the_branch_of_another_directory(exchange: Exchange, directory: str, branch: str) -> None:
    exchange.pull()
    other = replace(exchange.sent, directory=f"/sandbox/{directory}", commit="", imported="")

    name = branch_of(exchange.store, other)
    assert name == f"{BRANCH}.{branch}"
    assert require_free(exchange.repository, name)


def test_uncommitted_changes_that_a_merge_would_overwrite(exchange: Exchange) -> None:
    tip = exchange.pull()[0].new
    write(exchange.top, {"d/b.txt": "mine\n", "mine.txt": "x\n"})
    assert not is_in_the_way(exchange.repository, tip)
    write(exchange.top, {"a.txt": "mine\n"})
    assert is_in_the_way(exchange.repository, tip)
    git(exchange.top, "checkout", "a.txt")
    commit_all(exchange.top, "Mine")
    write(exchange.top, {"mine.txt": "y\n"})
    assert not is_in_the_way(exchange.repository, tip)


def test_a_branch_that_is_a_symbolic_ref(exchange: Exchange) -> None:
    git(exchange.top, "branch", "other")
    git(exchange.top, "symbolic-ref", f"refs/heads/{BRANCH}", "refs/heads/other")

    assert "is a symbolic ref" in refused(exchange)


def test_a_branch_whose_name_begins_with_another(exchange: Exchange) -> None:
    git(exchange.top, "branch", "sandbox")

    with pytest.raises(GitFailed, match="cannot be written"):
        exchange.pull()


def test_two_pulls_at_once_make_one_branch(exchange: Exchange) -> None:
    with exchange.checked() as first, exchange.checked() as second:
        one = import_work(exchange.repository, first, BRANCH)
        two = import_work(exchange.repository, second, BRANCH)

    assert (one.new, two.old, two.is_changed) == (two.new, one.new, False)


def test_pulls_in_parallel(exchange: Exchange) -> None:
    def do_import(work: CheckedWork) -> str:
        return import_work(exchange.repository, work, BRANCH).new

    with exchange.checked() as one, exchange.checked() as two, ThreadPoolExecutor(2) as pool:
        tips = set(pool.map(do_import, [one, two]))

    assert tips == {git(exchange.top, "rev-parse", BRANCH)}


def test_a_branch_that_changes_during_a_pull(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = git(exchange.top, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "Other")

    with exchange.checked() as work:
        repository = exchange.repository
        real = Git.ask

        def ask(self: Git, *words: str, **rest: Any) -> Finished:
            if words[0] == "update-ref":
                git(exchange.top, "update-ref", f"refs/heads/{BRANCH}", other)
            return real(self, *words, **rest)

        monkeypatch.setattr(Git, "ask", ask)
        with pytest.raises(RepositoryRefused, match="changed by another program"):
            import_work(repository, work, BRANCH)
        monkeypatch.undo()

    assert git(exchange.top, "rev-parse", BRANCH) == other


def test_a_patch_of_the_work(exchange: Exchange) -> None:
    with exchange.checked() as work:
        patch = read_patch(work).decode()

    assert "-one\n+better\n" in patch


def test_a_binary_file_has_no_lines(exchange: Exchange) -> None:
    write(exchange.box, {"x.bin": b"\0\1\2"})

    _, summary = exchange.pull()

    row = next(each for each in summary.files if each.path == "x.bin")
    assert (row.added, row.deleted) == (None, None)
    assert (summary.added, summary.deleted) == (1, 1)
