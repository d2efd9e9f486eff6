"""A repository goes to a sandbox and comes back as a branch: each shape of repository."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_client.errors import GitFailed, RepositoryRefused, WorkRefused
from sandbox_client.repository import sandbox_answers, sandbox_scripts
from sandbox_client.repository.amount import Amount
from sandbox_client.repository.apply import here, ignored_paths
from sandbox_client.repository.bundle import sha256_of
from sandbox_client.repository.file_kinds import decide
from sandbox_client.repository.incoming import export_command, require_download
from sandbox_client.repository.outgoing import outgoing
from sandbox_client.repository.quarantine import Limits
from sandbox_client.repository.snapshot import survey

from tests.client.repository_stub import (
    NAME,
    PATH,
    Exchange,
    commit_all,
    fingerprint,
    git,
    make_repository,
    run,
    tree_of_directory,
    write,
)
from tests.client.strategies import some_examples

if TYPE_CHECKING:
    from collections.abc import Callable

BRANCH = "sandbox/box"


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    top = make_repository(
        tmp_path / "person" / "repository", {"a.txt": "one\n", "d/b.txt": "two\n"}
    )
    return to_sandbox(tmp_path, top)


def to_sandbox(at: Path, top: Path) -> Exchange:
    (at / "sandbox").mkdir()
    return Exchange(top, at / "sandbox" / "box")


def work(exchange: Exchange, files: dict[str, str | bytes], message: str = "") -> None:
    write(exchange.box, files)
    if message:
        commit_all(exchange.box, message)


def subjects(exchange: Exchange, branch: str = BRANCH) -> list[str]:
    return git(exchange.top, "log", "--format=%s", "--first-parent", branch).splitlines()


def test_the_working_tree_goes_as_it_is(exchange: Exchange) -> None:
    write(
        exchange.top,
        {".gitignore": "*.log\n", "x.log": "no\n", "a.txt": "1\n", "new\n\udce9.txt": "2\n"},
    )
    (exchange.top / "d" / "b.txt").unlink()
    write(exchange.top, {"staged.txt": "3\n"})
    git(exchange.top, "add", "staged.txt")
    before = fingerprint(exchange.top)

    exchange.push()

    assert fingerprint(exchange.top) == before
    assert git(exchange.box, "rev-parse", "HEAD^{tree}") == tree_of_directory(exchange.top)
    assert not (exchange.box / "x.log").exists()
    assert git(exchange.box, "status", "--porcelain") == ""
    assert git(exchange.box, "rev-parse", "HEAD^") == git(exchange.top, "rev-parse", "HEAD")


def test_a_clean_working_tree_goes_as_its_own_commit(exchange: Exchange) -> None:
    exchange.push()

    assert git(exchange.box, "rev-parse", "HEAD") == git(exchange.top, "rev-parse", "HEAD")
    assert git(exchange.box, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_commits_and_what_was_not_committed_come_back(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"a.txt": "better\n"}, "Improve it")
    work(exchange, {"left.txt": "x\n"})
    before = {**fingerprint(exchange.top)}

    imported, summary = exchange.pull()

    after = fingerprint(exchange.top)
    changed = {Path(each).parent.name for each in after if after[each] != before.get(each)}
    assert changed <= {"heads", "refs", "sandbox", "logs", "pack", "objects"}
    assert (imported.branch, imported.old) == (BRANCH, "")
    assert subjects(exchange) == ["Uncommitted changes in the sandbox", "Improve it", "First"]
    assert git(exchange.top, "rev-parse", f"{BRANCH}^{{tree}}") == tree_of_directory(exchange.box)
    assert [(each.path, each.added, each.deleted) for each in summary.files] == [
        ("a.txt", 1, 1),
        ("left.txt", 1, 0),
    ]
    assert git(exchange.top, "fsck", "--no-dangling") == ""


def test_a_pull_leaves_the_sandbox_as_it_is(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"a.txt": "better\n", "new.txt": "x\n"})
    git(exchange.box, "add", "new.txt")
    status = git(exchange.box, "status", "--porcelain")
    index = (exchange.box / ".git" / "index").read_bytes()

    exchange.pull()

    assert (exchange.box / ".git" / "index").read_bytes() == index
    assert git(exchange.box, "status", "--porcelain") == status


def test_later_work_lets_the_branch_go_forward(exchange: Exchange) -> None:
    exchange.push()
    tips: list[str] = []
    for step in range(4):
        work(exchange, {"a.txt": f"{step}\n"}, "Committed" if step == 2 else "")
        imported, _ = exchange.pull()
        assert imported.old == (tips[-1] if tips else "")
        tips.append(imported.new)

    assert len(set(tips)) == 4
    assert git(exchange.top, "show", f"{BRANCH}:a.txt") == "3"


@pytest.mark.parametrize("is_joined", [False, True])
def test_a_repeated_export_takes_the_bundle_of_the_same_work(
    exchange: Exchange, *, is_joined: bool
) -> None:
    exchange.push()
    work(exchange, {"left.txt": "1\n"})
    if is_joined:  # what was pulled, and a commit beside it
        exchange.pull()
        git(exchange.box, "reset", "-q", "--hard")
        work(exchange, {"b.txt": "x\n"}, "Work")
    bundle = exchange.scratch / ".remote-sandbox-0a1b2c3d" / "bundle"
    other = exchange.scratch / ".remote-sandbox-00000000"
    other.mkdir()

    def export(time: int) -> sandbox_answers.Exported:
        command = export_command(exchange.store, exchange.store.require(NAME), BRANCH, str(bundle))
        with_time = f"export GIT_COMMITTER_DATE='{time} +0000'; {command}"
        return sandbox_answers.read_exported(exchange.in_sandbox(with_time))

    first, made = export(1_700_000_001), bundle.stat()
    for each in (bundle.parent, other):
        os.utime(each, (0, 0))
    again = export(1_700_000_002)

    assert (again, bundle.stat().st_mtime_ns) == (first, made.st_mtime_ns)
    assert not other.exists()
    work(exchange, {"left.txt": "2\n"})
    later = export(1_700_000_003)
    assert later.tip not in {first.tip, first.head}
    assert later.sha256 == sha256_of(bundle) != first.sha256
    assert later.tip.encode() in bundle.read_bytes()
    assert sorted(each.name for each in bundle.parent.iterdir()) == ["bundle", "bundle.of"]


def test_nothing_new_is_told(exchange: Exchange) -> None:
    exchange.push()
    _, unchanged, _ = exchange.export()
    work(exchange, {"a.txt": "x\n"})
    exchange.pull()

    _, again, _ = exchange.export()

    assert (unchanged.size, unchanged.commits) == (0, 0)
    assert (again.size, again.commits) == (0, 1)


def test_new_work_without_a_bundle_is_refused(exchange: Exchange) -> None:
    exchange.push()
    sent, exported, _ = exchange.export()

    assert not require_download(exported, sent, Limits())
    with pytest.raises(WorkRefused, match="has no bundle of it"):
        require_download(replace(exported, tip="1" * 40), sent, Limits())


def test_a_branch_that_was_deleted_comes_again(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"a.txt": "x\n"})
    imported, _ = exchange.pull()
    git(exchange.top, "branch", "-D", BRANCH)
    git(exchange.top, "gc", "-q", "--prune=now")

    again, _ = exchange.pull()

    assert (again.old, again.new) == ("", imported.new)


def test_a_second_push_sends_only_what_is_new(exchange: Exchange) -> None:
    write(exchange.top, {"large.bin": os.urandom(300_000)})
    _, first = exchange.push()
    write(exchange.top, {"a.txt": "changed\n"})
    commit_all(exchange.top)
    write(exchange.top, {"d/b.txt": "changed too\n"})

    amount, second = exchange.push()

    assert first > 300_000
    assert second < 2000
    assert amount.files == 2
    assert git(exchange.box, "rev-parse", "HEAD^{tree}") == tree_of_directory(exchange.top)


def test_the_amount_counts_all_that_goes_with_head(exchange: Exchange) -> None:
    write(exchange.top, {"large.bin": os.urandom(300_000), "same": "two\n"})
    commit_all(exchange.top)
    (exchange.top / "large.bin").unlink()
    write(exchange.top, {"a.txt": "1\n"})

    amount, size = exchange.push()
    (exchange.top / "d" / "b.txt").rename(exchange.top / "moved.txt")
    moved, _ = exchange.push()

    assert size > 300_000
    assert amount == Amount(files=3, size=6, commits=2, earlier=2, earlier_size=300_004)
    assert moved == Amount(files=1, size=0, commits=1)


def test_the_amount_counts_the_history(exchange: Exchange) -> None:
    write(exchange.top, {"large.bin": os.urandom(300_000)})
    commit_all(exchange.top)
    (exchange.top / "large.bin").unlink()
    commit_all(exchange.top)
    exchange.history = True

    amount, _ = exchange.push()

    assert amount == Amount(files=2, size=8, commits=3, earlier=1, earlier_size=300_000)


@pytest.mark.parametrize(
    "megabytes",
    [20, pytest.param(200, marks=[pytest.mark.check, pytest.mark.timeout(300)])],
)
def test_a_large_history_stays_here(exchange: Exchange, megabytes: int) -> None:
    git(exchange.top, "config", "core.compression", "0")
    for _ in range(5):
        write(exchange.top, {"large.bin": os.urandom(megabytes * 200_000)})
        commit_all(exchange.top)
    (exchange.top / "large.bin").unlink()
    commit_all(exchange.top)

    amount, size = exchange.push()
    work(exchange, {"a.txt": "two\n"}, "Work")
    exchange.pull()

    assert amount == Amount(files=2, size=8, commits=1)
    assert size < 1000
    assert subjects(exchange)[0] == "Work"


def test_a_second_push_of_the_same_sends_nothing(exchange: Exchange) -> None:
    write(exchange.top, {"a.txt": "changed\n"})
    exchange.push()

    amount, size = exchange.push()

    assert (amount.files, size) == (0, 0)


def test_a_push_after_the_person_went_back(exchange: Exchange) -> None:
    write(exchange.top, {"a.txt": "second\n"})
    commit_all(exchange.top, "Second")
    exchange.push()
    git(exchange.top, "reset", "-q", "--hard", "HEAD^")

    exchange.push()
    work(exchange, {"c.txt": "x\n"}, "Work")
    exchange.pull()

    assert subjects(exchange) == ["Work", "First"]


def test_work_in_the_sandbox_is_not_overwritten_by_a_push(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"a.txt": "x\n"})
    write(exchange.top, {"d/b.txt": "changed\n"})
    with pytest.raises(RepositoryRefused, match="changes that were not pulled"):
        exchange.push()
    commit_all(exchange.box, "Work")
    with pytest.raises(RepositoryRefused, match="commits that were not pulled"):
        exchange.push()

    work(exchange, {"left.txt": "x\n"})
    exchange.pull()
    exchange.push()

    assert git(exchange.box, "rev-parse", "HEAD^{tree}") == tree_of_directory(exchange.top)
    assert git(exchange.box, "status", "--porcelain") == ""
    assert not (exchange.box / "left.txt").exists()


def test_work_after_a_pull_is_not_overwritten_either(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"a.txt": "x\n"})
    exchange.pull()
    work(exchange, {"a.txt": "y\n"})
    write(exchange.top, {"d/b.txt": "changed\n"})

    with pytest.raises(RepositoryRefused, match="changes that were not pulled"):
        exchange.push()


def test_a_pull_after_a_second_push(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"a.txt": "x\n"}, "Work")
    exchange.pull()
    git(exchange.top, "merge", "-q", BRANCH)
    write(exchange.top, {"mine.txt": "x\n"})
    exchange.push()
    work(exchange, {"a.txt": "y\n"}, "More work")

    imported, _ = exchange.pull()

    assert imported.old == git(exchange.top, "rev-parse", "main")
    assert subjects(exchange)[:3] == ["More work", "Uncommitted changes, as they were sent", "Work"]


def test_a_first_push_that_was_killed_after_git_init(exchange: Exchange) -> None:
    exchange.box.mkdir()
    git(exchange.box, "init", "-q")

    exchange.push()

    assert (exchange.box / "a.txt").exists()


def test_a_directory_of_others_is_not_touched(exchange: Exchange) -> None:
    write(exchange.box, {"notes.txt": "mine\n"})

    with pytest.raises(RepositoryRefused, match="not sent from here"):
        exchange.push()

    assert [each.name for each in exchange.box.iterdir()] == ["notes.txt"]


def test_a_push_that_broke_off_is_taken_up_again(exchange: Exchange) -> None:
    write(exchange.top, {"a.txt": "changed\n"})
    exchange.push()
    git(exchange.box, "config", "remote-sandbox.receiving", "x")
    (exchange.box / "a.txt").unlink()
    shutil.rmtree(exchange.repository.store_dir / "sent")
    write(exchange.top, {"a.txt": "changed again\n"})
    with pytest.raises(RepositoryRefused, match="Nothing of this repository"):
        exchange.pull()

    exchange.push()

    assert git(exchange.box, "rev-parse", "HEAD^{tree}") == tree_of_directory(exchange.top)


def test_a_pull_of_what_arrived_only_in_part(exchange: Exchange) -> None:
    exchange.push()
    git(exchange.box, "config", "remote-sandbox.receiving", "x")

    with pytest.raises(RepositoryRefused, match="did not arrive completely"):
        exchange.pull()


def test_a_push_whose_client_was_killed_after_it_arrived(exchange: Exchange) -> None:
    exchange.push()
    write(exchange.top, {"a.txt": "two\n"})
    exchange.is_killed_after_receive = True
    with pytest.raises(KeyboardInterrupt):
        exchange.push()
    work(exchange, {"a.txt": "three\n"}, "Work")

    _, summary = exchange.pull()

    assert [each.subject for each in summary.commits] == ["Work"]
    assert git(exchange.top, "show", f"{BRANCH}:a.txt") == "three"


def test_a_directory_belongs_to_one_repository(exchange: Exchange, tmp_path: Path) -> None:
    exchange.push()
    top = make_repository(tmp_path / "other" / "repository", {"a.txt": "other\n"})
    other = Exchange(top, exchange.box)
    with pytest.raises(RepositoryRefused, match="has another repository"):
        other.push()
    sent = exchange.store.require(NAME)
    receive = sandbox_scripts.receive(sent, "/dev/null", "0", "sha1", (), "0" * 32)
    export = sandbox_scripts.export(sent, "out.bundle", [sent.commit], "0" * 32)
    for command in (receive, export):  # also if it was sent between the look and the command
        with pytest.raises(RepositoryRefused, match="has another repository"):
            sandbox_answers.read_answer(exchange.in_sandbox(command), "")

    assert (exchange.box / "a.txt").read_text() == "one\n"


def test_another_push_than_those_from_here(exchange: Exchange) -> None:
    exchange.push()
    git(exchange.box, "commit", "-q", "--allow-empty", "-m", "x")
    git(exchange.box, "update-ref", "refs/remote-sandbox/sent", "HEAD")

    with pytest.raises(RepositoryRefused, match="has another push than the last one"):
        exchange.pull()


def amend(exchange: Exchange, onto: str = "HEAD^") -> None:
    """Let git remove the commit that is checked out; a similar one on another takes its place."""
    tree = git(exchange.top, "rev-parse", "HEAD^{tree}")
    words = ["-p", git(exchange.top, "rev-parse", onto)] if onto else []
    other = git(exchange.top, "commit-tree", tree, *words, "-m", "Amended")
    git(exchange.top, "reset", "-q", other)
    git(exchange.top, "reflog", "expire", "--expire=now", "--all")
    git(exchange.top, "gc", "-q", "--prune=now")


@pytest.mark.parametrize("is_clean", [True, False])
@pytest.mark.parametrize("history", [True, False])
def test_a_commit_that_was_amended_away_and_removed_comes_back(
    exchange: Exchange, *, is_clean: bool, history: bool
) -> None:
    exchange.history = history
    write(exchange.top, {"a.txt": "two\n", "new.txt": "x\n"})
    commit = commit_all(exchange.top, "Second")
    if not is_clean:
        write(exchange.top, {"a.txt": "changed\n"})
    exchange.push()
    work(exchange, {"d/b.txt": "three\n"}, "Work")
    amend(exchange)

    _, summary = exchange.pull()

    assert [each.path for each in summary.files] == ["d/b.txt"]
    assert commit in git(exchange.top, "rev-list", BRANCH).split()
    assert git(exchange.top, "fsck", "--no-dangling") == ""
    exchange.push()
    assert git(exchange.box, "rev-parse", "HEAD^{tree}") == tree_of_directory(exchange.top)


def test_a_push_after_its_commit_was_amended_away_and_removed(exchange: Exchange) -> None:
    write(exchange.top, {"a.txt": "two\n"})
    commit_all(exchange.top)
    exchange.push()
    git(exchange.box, "branch", "of-the-agent")
    amend(exchange)

    exchange.push()

    assert git(exchange.box, "rev-parse", "HEAD^{tree}") == tree_of_directory(exchange.top)
    assert git(exchange.box, "log", "--format=%s", "of-the-agent") == "Work"
    assert git(exchange.box, "fsck", "--no-dangling") == ""


@pytest.mark.parametrize("withheld", [[], ["b.key"]])
def test_work_whose_base_cannot_come_back(exchange: Exchange, withheld: list[str]) -> None:
    write(exchange.top, {"a.txt": "two\n", "b.key": "x\n"})
    commit_all(exchange.top)
    write(exchange.top, {"a.txt": "three\n"})
    commit_all(exchange.top)
    exchange.leave_out = withheld
    exchange.include = [] if withheld else ["b.key"]
    exchange.push()
    work(exchange, {"d/b.txt": "three\n"}, "Work")
    amend(exchange, "HEAD^" if withheld else "")
    refs = git(exchange.top, "for-each-ref")

    with pytest.raises(RepositoryRefused, match="is no longer in this repository") as caught:
        exchange.pull()

    assert "remove the directory there" in caught.value.advice
    assert git(exchange.top, "for-each-ref") == refs
    assert git(exchange.top, "fsck", "--no-dangling") == ""
    shutil.rmtree(exchange.box)
    exchange.push()
    work(exchange, {"d/b.txt": "four\n"}, "Work")
    exchange.pull()
    assert git(exchange.top, "show", f"{BRANCH}:d/b.txt") == "four"


def test_the_store_keeps_what_records_need_and_no_more(exchange: Exchange) -> None:
    old = time.time() - 3 * 24 * 3600
    first = ""
    for number in range(16):
        write(exchange.top, {"a.txt": f"{number}\n"})
        exchange.push()
        sent = exchange.store.require(NAME)
        first = first or sent.commit
        for each in (exchange.store.path / "objects" / "pack").iterdir():
            os.utime(each, (old, old))

    assert len([*exchange.store.path.glob("objects/pack/*.pack")]) < 14
    assert exchange.store.git.ask("cat-file", "-e", first).code != 0
    work(exchange, {"a.txt": "work\n"}, "Work")
    exchange.pull()
    assert git(exchange.top, "show", f"{BRANCH}:a.txt") == "work"


def test_a_bundle_that_changed_on_its_way_is_not_received(exchange: Exchange) -> None:
    exchange.push()
    sent, exported, bundle = exchange.export()
    bundle.write_bytes(b"x")
    output = exchange.in_sandbox(sandbox_scripts.receive(sent, str(bundle), "0" * 64, "sha1"))

    with pytest.raises(RepositoryRefused, match="differs from the one that was sent"):
        sandbox_answers.read_received(output)
    assert exported.tip == sent.commit


def test_history_ends_at_head_unless_it_is_asked_for(exchange: Exchange) -> None:
    for step in range(3):
        write(exchange.top, {"a.txt": f"{step}\n"})
        commit_all(exchange.top, f"Step {step}")
    exchange.push()
    short = git(exchange.box, "rev-list", "--count", "HEAD")
    exchange.history = True

    exchange.push()
    work(exchange, {"c.txt": "x\n"}, "Work")
    exchange.pull()

    assert short == "1"
    assert git(exchange.box, "rev-list", "--count", "HEAD") == "5"
    assert git(exchange.box, "fsck", "--no-dangling") == ""
    assert git(exchange.top, "rev-list", "--count", BRANCH) == "5"


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    exchange = to_sandbox(tmp_path, make_repository(tmp_path / "person" / "repository"))
    with pytest.raises(RepositoryRefused, match="no commit and no file"):
        exchange.push()
    write(exchange.top, {"a.txt": "one\n"})

    exchange.push()
    work(exchange, {"a.txt": "two\n"}, "Work")
    exchange.pull()

    assert subjects(exchange) == ["Work", "Uncommitted changes, as they were sent"]
    assert git(exchange.top, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_a_detached_head(exchange: Exchange) -> None:
    git(exchange.top, "checkout", "-q", "--detach")

    exchange.push()
    work(exchange, {"a.txt": "two\n"}, "Work")
    exchange.pull()

    assert subjects(exchange) == ["Work", "First"]
    assert git(exchange.box, "symbolic-ref", "HEAD") == "refs/heads/work"


def test_a_linked_worktree(exchange: Exchange, tmp_path: Path) -> None:
    linked = tmp_path / "person" / "linked"
    git(exchange.top, "worktree", "add", "-q", "-b", "topic", str(linked))
    write(linked, {"only-here.txt": "x\n"})
    other = Exchange(linked, exchange.box)

    other.push()
    work(other, {"a.txt": "two\n"}, "Work")
    other.pull()

    assert (exchange.box / "only-here.txt").exists()
    assert git(exchange.top, "show", f"{BRANCH}:a.txt") == "two"
    assert git(exchange.top, "status", "--porcelain") == ""


def test_a_repository_that_was_moved_after_a_push(exchange: Exchange, tmp_path: Path) -> None:
    write(exchange.top, {"a.txt": "changed\n"})
    exchange.push()
    exchange.top = exchange.top.rename(tmp_path / "person" / "moved")
    work(exchange, {"d/b.txt": "better\n"}, "Work")

    exchange.pull()

    assert subjects(exchange) == ["Work", "Uncommitted changes, as they were sent", "First"]


@pytest.mark.parametrize("history", [False, True])
def test_a_shallow_clone(tmp_path: Path, *, history: bool) -> None:
    origin = make_repository(tmp_path / "origin", {"a.txt": "0\n"})
    for step in range(3):
        write(origin, {"a.txt": f"{step}\n"})
        git(origin, "commit", "-qam", f"Step {step}", "--allow-empty")
    top = tmp_path / "person" / "repository"
    top.parent.mkdir()
    git(tmp_path, "clone", "-q", "--depth", "2", f"file://{origin}", str(top))
    exchange = to_sandbox(tmp_path, top)
    exchange.history = history
    write(top, {"b.txt": "x\n"})

    exchange.push()
    work(exchange, {"a.txt": "better\n"}, "Work")
    exchange.pull()

    assert git(exchange.box, "rev-list", "--count", "HEAD") == ("4" if history else "3")
    assert subjects(exchange)[:2] == ["Work", "Uncommitted changes, as they were sent"]
    assert git(top, "fsck", "--no-dangling") == ""


def test_a_submodule_stays_here(exchange: Exchange, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library", {"lib.txt": "x\n"})
    words = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    git(exchange.top, *words)
    commit_all(exchange.top, "Submodule")
    write(exchange.top, {"lib/changed.txt": "x\n"})

    exchange.push()
    work(exchange, {"a.txt": "two\n"}, "Work")
    exchange.pull()

    assert list((exchange.box / "lib").iterdir()) == []
    assert git(exchange.top, "rev-parse", f"{BRANCH}:lib") == git(library, "rev-parse", "HEAD")


def test_a_repository_in_the_working_tree_stays_where_it_is(exchange: Exchange) -> None:
    make_repository(exchange.top / "inner", {"x.txt": "x\n"})
    exchange.push()
    make_repository(exchange.box / "another", {"x.txt": "x\n"})
    work(exchange, {"a.txt": "two\n"})

    _, summary = exchange.pull()

    assert not (exchange.box / "inner").exists()
    assert [each.path for each in summary.files] == ["a.txt"]


def test_files_of_lfs_go_as_pointers(exchange: Exchange) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    git(exchange.top, "config", "filter.lfs.clean", f"printf '{pointer}'")
    git(exchange.top, "config", "filter.lfs.required", "true")
    write(exchange.top, {".gitattributes": "*.big filter=lfs\n", "x.big": "large"})
    exchange.push()

    exchange.pull() if exchange.export()[1].size else None

    assert (exchange.box / "x.big").read_text() == pointer
    assert (exchange.top / "x.big").read_text() == "large"


def test_line_ends_stay_as_git_has_them(exchange: Exchange) -> None:
    git(exchange.top, "config", "core.autocrlf", "true")
    write(exchange.top, {"dos.txt": "one\r\ntwo\r\n", ".gitattributes": "raw.txt -text\n"})
    write(exchange.top, {"raw.txt": "one\r\n"})
    exchange.push()
    work(exchange, {"dos.txt": "one\nthree\n"})

    _, summary = exchange.pull()

    assert (exchange.box / "raw.txt").read_bytes() == b"one\r\n"
    assert [(each.path, each.added) for each in summary.files] == [("dos.txt", 1)]


def no_modes(at: Path) -> str:
    """Return a PATH with a chmod that changes nothing, as on a file system without modes."""
    at.mkdir()
    (at / "chmod").write_text("#!/bin/sh\n")
    (at / "chmod").chmod(0o755)
    return f"{at}:{PATH}"


def test_executable_bits_survive_where_no_modes_are_kept(
    exchange: Exchange, tmp_path: Path
) -> None:
    write(exchange.top, {"run.sh": "#!/bin/sh\n", "other.sh": "#!/bin/sh\n"})
    (exchange.top / "run.sh").chmod(0o755)
    exchange.path = no_modes(tmp_path / "stub")
    exchange.push()
    for each in ("run.sh", "other.sh", "a.txt"):
        (exchange.box / each).chmod(0o666)
    work(exchange, {"run.sh": "#!/bin/sh\necho\n"})
    (exchange.box / "a.txt").chmod(0o777)

    _, summary = exchange.pull()

    assert [(each.path, each.mode) for each in summary.files] == [("run.sh", "100755")]


def test_a_program_that_the_agent_makes(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"tool": "#!/bin/sh\n"})
    (exchange.box / "tool").chmod(0o755)

    _, summary = exchange.pull()

    assert [(each.path, each.mode) for each in summary.files] == [("tool", "100755")]
    assert [each.path for each in summary.runs_later] == ["tool"]


def test_symbolic_links(exchange: Exchange) -> None:
    (exchange.top / "link").symlink_to("d/b.txt")
    (exchange.top / "out").symlink_to("/etc/hosts")
    exchange.push()
    (exchange.box / "d" / "up").symlink_to("../a.txt")

    _, summary = exchange.pull()

    assert (exchange.box / "out").readlink() == Path("/etc/hosts")
    assert [(each.path, each.mode) for each in summary.files] == [("d/up", "120000")]


def test_an_unfinished_merge_goes_with_its_conflicts(exchange: Exchange) -> None:
    git(exchange.top, "checkout", "-qb", "other")
    write(exchange.top, {"a.txt": "theirs\n"})
    commit_all(exchange.top, "Theirs")
    git(exchange.top, "checkout", "-q", "main")
    write(exchange.top, {"a.txt": "ours\n"})
    commit_all(exchange.top, "Ours")
    with pytest.raises(AssertionError, match="CONFLICT"):
        git(exchange.top, "merge", "other")
    before = fingerprint(exchange.top)

    exchange.push()

    assert fingerprint(exchange.top) == before
    assert "<<<<<<<" in (exchange.box / "a.txt").read_text()


def test_a_sha256_repository(tmp_path: Path) -> None:
    top = make_repository(
        tmp_path / "person" / "repository", {"a.txt": "one\n"}, "--object-format=sha256"
    )
    exchange = to_sandbox(tmp_path, top)
    write(top, {"b.txt": "x\n"})

    exchange.push()
    work(exchange, {"a.txt": "two\n"}, "Work")
    exchange.pull()
    write(top, {"b.txt": "y\n"})
    exchange.push()
    assert subjects(exchange)[0] == "Work"


def test_sparse_and_split_indexes(exchange: Exchange) -> None:
    git(exchange.top, "sparse-checkout", "set", "d")
    git(exchange.top, "update-index", "--split-index")
    before = fingerprint(exchange.top)

    exchange.push()

    assert fingerprint(exchange.top) == before
    assert (exchange.box / "d" / "b.txt").exists()


@pytest.mark.parametrize("name", ["a.txt", "new.txt"])
@pytest.mark.parametrize("is_required", ["true", "false"])
def test_a_filter_that_fails_stops_a_push(exchange: Exchange, is_required: str, name: str) -> None:
    git(exchange.top, "config", "filter.strict.clean", "no-such-program")
    git(exchange.top, "config", "filter.strict.required", is_required)
    write(exchange.top, {".gitattributes": f"{name} filter=strict\n", name: "changed\n"})
    before = fingerprint(exchange.top)

    with pytest.raises(GitFailed, match=r"A filter of git failed: .*no-such-program"):
        exchange.push()

    assert fingerprint(exchange.top) == before
    assert not exchange.box.exists()


def test_a_pull_while_the_agent_runs_git(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"a.txt": "x\n"})
    (exchange.box / ".git" / "index.lock").write_text("")

    imported, _ = exchange.pull()

    assert imported.is_changed
    assert (exchange.box / ".git" / "index.lock").exists()


def test_objects_that_cannot_be_written_in_the_sandbox(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"a.txt": "x\n"})
    objects = exchange.box / ".git" / "objects"
    name = run(exchange.box, "git", "hash-object", "a.txt")[:2]
    shutil.rmtree(objects / name, ignore_errors=True)
    (objects / name).write_text("a file, where git needs a directory")

    with pytest.raises(RepositoryRefused, match=r"cannot read a file, or write to its disk: .+"):
        exchange.pull()


def test_a_directory_that_the_agent_has_removed(exchange: Exchange) -> None:
    exchange.push()
    sent, _, bundle = exchange.export()
    shutil.rmtree(exchange.box)
    command = sandbox_scripts.export(sent, str(bundle), [sent.commit], exchange.store.identity)

    with pytest.raises(RepositoryRefused, match="is not in the sandbox any more"):
        sandbox_answers.read_exported(exchange.in_sandbox(command))


def test_a_git_directory_that_the_agent_has_removed(exchange: Exchange) -> None:
    exchange.push()
    shutil.rmtree(exchange.box / ".git")

    with pytest.raises(RepositoryRefused, match="is not the repository any more that was sent"):
        exchange.pull()


def partial_clone(tmp_path: Path, *options: str) -> Exchange:
    """Return a partial clone; any fetch from its remote leaves the file `fetched`."""
    origin = make_repository(tmp_path / "origin", {"a.txt": "0\n", "d/b.txt": "x\n"})
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    write(origin, {"a.txt": "1\n"})
    commit_all(origin)
    (tmp_path / "person").mkdir()
    top = tmp_path / "person" / "repository"
    git(tmp_path, "clone", "-q", "--filter=blob:none", *options, f"file://{origin}", str(top))
    program = f"touch '{tmp_path}/fetched'; git-upload-pack"
    git(top, "config", "remote.origin.uploadpack", program)
    git(top, "config", "protocol.file.allow", "always")
    return to_sandbox(tmp_path, top)


def test_a_partial_clone(tmp_path: Path) -> None:
    exchange = partial_clone(tmp_path)

    exchange.push()
    work(exchange, {"a.txt": "2\n"}, "Work")
    exchange.pull()

    assert subjects(exchange) == ["Work", "Work", "First"]
    assert not (tmp_path / "fetched").exists()


@pytest.mark.parametrize("options", [[], ["--sparse"], ["--no-checkout"]])
def test_a_partial_clone_that_lacks_objects_is_refused(tmp_path: Path, options: list[str]) -> None:
    exchange = partial_clone(tmp_path, *options)
    exchange.history = not options

    with pytest.raises(RepositoryRefused, match=r"lacks . objects? that would go, as it is a par"):
        exchange.push()

    assert not (tmp_path / "fetched").exists()
    assert not exchange.box.exists()
    git(exchange.top, "fetch", "-q", "--refetch", "--no-filter")
    if "--no-checkout" in options:
        git(exchange.top, "checkout", "-q")
    exchange.push()
    assert git(exchange.box, "rev-parse", "HEAD") == git(exchange.top, "rev-parse", "HEAD")


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:100_000])


def overwrite(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"x" * 100)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("large.bin", remove),
        ("large.bin", cut),
        ("large.bin", overwrite),
        ("d", remove),
        ("d", overwrite),
    ],
)
def test_a_damaged_repository_is_refused(
    exchange: Exchange, name: str, damage: Callable[[Path], None]
) -> None:
    write(exchange.top, {"large.bin": os.urandom(300_000)})
    commit_all(exchange.top)
    (exchange.top / "large.bin").unlink()
    object_id = git(exchange.top, "rev-parse", f"HEAD:{name}")
    damage(exchange.top / ".git" / "objects" / object_id[:2] / object_id[2:])

    with pytest.raises(GitFailed, match=object_id):
        exchange.push()

    assert not exchange.box.exists()


def test_a_damaged_history_stays_here(exchange: Exchange) -> None:
    write(exchange.top, {"a.txt": "two\n"})
    commit_all(exchange.top)
    parent = git(exchange.top, "rev-parse", "HEAD^")
    remove(exchange.top / ".git" / "objects" / parent[:2] / parent[2:])

    exchange.push()

    assert git(exchange.box, "rev-list", "--count", "HEAD") == "1"
    exchange.history = True
    with pytest.raises(GitFailed, match=parent):
        exchange.push()


def test_a_repository_at_an_odd_place(tmp_path: Path) -> None:
    top = make_repository(tmp_path / '"per:son"\n#' / "repo sitory'", {"a.txt": "one\n"})
    (tmp_path / "sandbox").mkdir()
    exchange = Exchange(top, tmp_path / "sandbox" / "b o'x")
    write(top, {"b.txt": "x\n"})

    exchange.push()
    work(exchange, {"a.txt": "two\n"}, "Work")
    exchange.pull()

    assert subjects(exchange)[0] == "Work"


def test_the_agent_rewrote_what_was_sent(exchange: Exchange) -> None:
    write(exchange.top, {"b.txt": "x\n"})
    exchange.push()
    write(exchange.box, {"b.txt": "y\n"})
    git(exchange.box, "commit", "-qa", "--amend", "-m", "Amended")
    exchange.pull()
    assert subjects(exchange) == ["Amended", "First"]


def test_the_agent_began_another_history(exchange: Exchange) -> None:
    exchange.push()
    git(exchange.box, "checkout", "-q", "--orphan", "new")
    commit_all(exchange.box, "Orphan")

    with pytest.raises(WorkRefused, match="does not descend"):
        exchange.pull()


def test_the_agent_works_in_a_merge_and_on_its_own_branch(exchange: Exchange) -> None:
    exchange.push()
    git(exchange.box, "checkout", "-qb", "theirs")
    work(exchange, {"a.txt": "theirs\n"}, "Theirs")
    git(exchange.box, "checkout", "-q", "main")
    work(exchange, {"a.txt": "ours\n"}, "Ours")
    with pytest.raises(AssertionError, match="CONFLICT"):
        git(exchange.box, "merge", "theirs")

    exchange.pull()

    assert subjects(exchange) == ["Uncommitted changes in the sandbox", "Ours", "First"]
    assert "<<<<<<<" in git(exchange.top, "show", f"{BRANCH}:a.txt")


def test_a_tracked_secret_that_is_left_out_stays_in_the_branch(exchange: Exchange) -> None:
    write(exchange.top, {".env": "KEY=old\n", "secrets/s.key": "k\n"})
    commit_all(exchange.top, "Secrets")
    write(exchange.top, {".env": "KEY=new\n", "untracked.pem": "p\n", "b.txt": "x\n"})
    with pytest.raises(RepositoryRefused, match="3 files may hold secrets"):
        exchange.push()
    exchange.leave_out = (".env", "secrets", "*.pem")

    exchange.push()
    assert sorted(each.name for each in exchange.box.iterdir()) == [".git", "a.txt", "b.txt", "d"]
    assert git(exchange.box, "rev-list", "--objects", "--all").count(".env") == 0
    work(exchange, {"a.txt": "two\n"}, "Work")
    work(exchange, {"c.txt": "x\n"})
    first, summary = exchange.pull()
    work(exchange, {"c.txt": "y\n"}, "Later")
    second, _ = exchange.pull()

    assert [each.path for each in summary.files] == ["a.txt", "c.txt"]
    assert git(exchange.top, "show", f"{BRANCH}:.env") == "KEY=old"
    assert git(exchange.top, "merge-base", "main", BRANCH) == git(exchange.top, "rev-parse", "main")
    assert second.old == first.new
    assert git(exchange.top, "fsck", "--no-dangling") == ""


def test_a_secret_of_the_history_goes_only_by_a_decision(exchange: Exchange) -> None:
    write(exchange.top, {".env": "KEY=old\n"})
    commit_all(exchange.top, "Secret")
    (exchange.top / ".env").unlink()
    commit_all(exchange.top, "No secret")
    exchange.push()
    assert git(exchange.box, "rev-list", "--objects", "--all").count(".env") == 0
    exchange.history = True

    with pytest.raises(RepositoryRefused, match=r"may hold secrets by the name: \.env"):
        exchange.push()
    exchange.leave_out = (".env",)
    with pytest.raises(RepositoryRefused, match="is in the history"):
        exchange.push()


def test_files_that_an_earlier_push_has_sent_are_known(exchange: Exchange) -> None:
    write(exchange.top, {".env": "x", "other.env": "x"})
    exchange.include, exchange.leave_out = ["/.env"], ["other.env"]
    exchange.push()
    exchange.include, exchange.leave_out = [], ["*.env"]
    write(exchange.top, {"a.txt": "changed\n"})
    exchange.push()
    store = exchange.store
    found = survey(store.repository)

    decision = decide(found.paths, (), exchange.leave_out)
    with outgoing(store, NAME, str(exchange.box), found, decision) as out:
        assert (decision.left_out, out.sent_before) == ((".env", "other.env"), (".env",))


def test_a_push_without_the_work_that_was_pulled_is_known(exchange: Exchange) -> None:
    exchange.push()
    work(exchange, {"a.txt": "better\n"}, "Better")
    exchange.pull()
    store, sent = exchange.store, exchange.check().sent

    def drops_work() -> bool:
        found, box = survey(store.repository), str(exchange.box)
        with outgoing(store, NAME, box, found, decide((), (), ()), sandbox_has=sent) as out:
            return out.drops_work

    assert drops_work()
    write(exchange.top, {"a.txt": "better\n", "d/b.txt": "mine\n"})
    assert not drops_work()


@pytest.mark.parametrize("state", ["untracked", "staged", "committed"])
def test_a_secret_that_came_after_the_decision_does_not_go(exchange: Exchange, state: str) -> None:
    write(exchange.top, {"new.txt": "x\n", "gone.txt": "x\n"})
    store = exchange.store
    found = survey(store.repository)
    decision = decide(found.paths, (), ())
    (exchange.top / "gone.txt").unlink()
    write(exchange.top, {".env": "TOKEN=1", "a.txt": "changed\n"})
    if state != "untracked":
        git(exchange.top, "add", "-A")
    if state == "committed":
        git(exchange.top, "commit", "-qm", "Secret")

    with outgoing(store, NAME, str(exchange.box), found, decision) as out:
        names = out.stage.git.names("ls-tree", "-r", "-z", "--name-only", out.sent.commit)
        objects = out.stage.git.text("rev-list", "--objects", out.sent.commit)

    assert names == ["a.txt", "d/b.txt", "new.txt"]
    assert ".env" not in objects


def test_ignored_files_that_a_merge_would_overwrite_are_found(exchange: Exchange) -> None:
    write(exchange.top, {".gitignore": ".env\n*.log\n", ".env": "REAL=1", ":b.log": "x", "c": "y"})

    found = ignored_paths(exchange.repository, [".env", "a.log", ":b.log", "c", "missing"])

    assert found == (".env", "a.log", ":b.log")
    assert here(exchange.repository, found) == (".env", ":b.log")


def test_two_pushes_at_once_have_a_bundle_each(exchange: Exchange) -> None:
    store = exchange.store
    found = survey(store.repository)
    push = (store, NAME, str(exchange.box), found, decide(found.paths, (), ()))

    with outgoing(*push) as first, outgoing(*push) as second:
        mine, other = first.bundle(), second.bundle()
        second.confirm()
        assert mine.path.exists()
        first.confirm()
        assert other.path.exists()

    assert not mine.path.parent.exists()
    assert not other.path.exists()


def test_two_sandboxes_have_the_same_snapshot(exchange: Exchange, tmp_path: Path) -> None:
    write(exchange.top, {"a.txt": "two\n"})
    exchange.push()
    first = exchange.store.require(NAME)
    shutil.rmtree(exchange.repository.store_dir / "sent")
    exchange.box = tmp_path / "sandbox" / "other"

    exchange.push()

    assert exchange.store.require(NAME).commit == first.commit


@pytest.mark.check
@pytest.mark.timeout(600)
def test_fifty_thousand_files(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"d{n % 500}/f{n}.txt": f"{n}\n" for n in range(50_000)}
    exchange = to_sandbox(tmp_path, make_repository(tmp_path / "person" / "repository", files))
    write(exchange.top, {"d1/new.txt": "x\n"})

    amount, _ = exchange.push()
    work(exchange, {"d2/new.txt": "x\n"})
    _, summary = exchange.pull()

    assert amount.files == 50_001
    assert [each.path for each in summary.files] == ["d2/new.txt"]


names = st.sampled_from(
    [
        "a",
        "b.txt",
        "c d",
        "e\nf",
        "caf\u00e9",
        "\udcff",
        "dir/x",
        "dir/y/z",
        "-n",
        "'q\"",
        ":(top)*",
    ]
)
contents = st.sampled_from(["", "x\n", "x\r\n", "y", "\0", "one\ntwo\n"])
edits = st.dictionaries(
    names, st.one_of(st.none(), contents, st.sampled_from(["->a", "->dir/x"])), max_size=5
)


def edit(at: Path, changes: dict[str, str | None]) -> None:
    """Write files, remove those without content, and make links."""
    for name, content in changes.items():
        path = at / name
        if path.is_symlink() or path.is_file():
            path.unlink()
        if content is None or path.is_dir() or not can_hold(path.parent, at):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("->"):
            target = os.path.relpath(at / content[2:], path.parent)
            path.symlink_to(target)
        else:
            path.write_bytes(content.encode())
            path.chmod(0o755 if content == "y" else 0o644)


def can_hold(directory: Path, at: Path) -> bool:
    inside = [each for each in (directory, *directory.parents) if each.is_relative_to(at)]
    return all(each.is_dir() and not each.is_symlink() for each in inside if os.path.lexists(each))


def without_control_characters(changes: dict[str, str | None]) -> dict[str, str | None]:
    """Leave out new names that are refused when they come from a sandbox."""
    return {name: content for name, content in changes.items() if "\n" not in name}


@given(edits, edits, edits, edits.map(without_control_characters), st.booleans(), st.booleans())
@settings(some_examples, max_examples=8)
def test_any_edits_come_back_as_they_are_in_the_sandbox(
    tmp_path_factory: pytest.TempPathFactory,
    committed: dict[str, str | None],
    staged: dict[str, str | None],
    left: dict[str, str | None],
    remote: dict[str, str | None],
    is_committed_there: bool,
    history: bool,
) -> None:
    at = tmp_path_factory.mktemp("any")
    top = make_repository(at / "person" / "repository", {"first": "x\n"})
    edit(top, committed)
    git(top, "add", "-A")
    git(top, "commit", "-qm", "Second", "--allow-empty")
    edit(top, staged)
    git(top, "add", "-A")
    edit(top, left)
    exchange = to_sandbox(at, top)
    exchange.history = history
    before = fingerprint(top)

    exchange.push()
    assert fingerprint(top) == before
    assert tree_of_directory(exchange.box) == tree_of_directory(top)
    edit(exchange.box, remote)
    wanted = tree_of_directory(exchange.box)
    if is_committed_there:
        git(exchange.box, "add", "-A")
        git(exchange.box, "commit", "-qm", "Work", "--allow-empty")
    if exchange.export()[1].size == 0:
        assert wanted == tree_of_directory(top)
        return
    before = fingerprint(top)
    exchange.pull()

    after = fingerprint(top)
    assert git(top, "rev-parse", f"{BRANCH}^{{tree}}") == wanted
    assert {each for each in before if after.get(each) != before[each]} == set()
    assert run(top, "git", "merge-base", "--is-ancestor", "main", BRANCH) == ""
    shutil.rmtree(at)


def test_a_repository_without_a_commit_at_its_head_is_not_replaced(exchange: Exchange) -> None:
    git(exchange.box.parent, "init", "-q", "-b", "main", str(exchange.box))
    write(exchange.box, {"a.txt": "precious\n"})
    commit_all(exchange.box)
    git(exchange.box, "checkout", "-q", "--orphan", "none")
    git(exchange.box, "rm", "-rfq", ".")

    with pytest.raises(RepositoryRefused, match="files that were not sent from here"):
        exchange.push()

    assert git(exchange.box, "show", "main:a.txt") == "precious"


def test_an_untracked_file_that_git_does_not_show_in_the_sandbox(exchange: Exchange) -> None:
    exchange.push()
    git(exchange.box, "config", "status.showUntrackedFiles", "no")
    write(exchange.box, {"new.txt": "of the agent\n"})
    write(exchange.top, {"new.txt": "mine\n"})

    with pytest.raises(RepositoryRefused, match="changes that were not pulled"):
        exchange.push()


@pytest.mark.parametrize(
    ("withheld", "made"),
    [({".env": "mine\n"}, {".Env": "evil\n"}), ({"c/prod.key": "k\n"}, {"C/prod.key": "evil\n"})],
)
def test_twins_of_withheld_files_are_refused(
    exchange: Exchange, withheld: dict[str, str | bytes], made: dict[str, str | bytes]
) -> None:
    write(exchange.top, withheld)
    commit_all(exchange.top)
    exchange.leave_out = [*withheld]
    exchange.push()
    work(exchange, made)
    commit_all(exchange.box)

    with pytest.raises(WorkRefused, match="is one file with"):
        exchange.pull()
