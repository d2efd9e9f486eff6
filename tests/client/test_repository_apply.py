"""The work in the working tree: all that is new there, or nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sandbox_client.errors import RepositoryRefused
from sandbox_client.repository.apply import Part, ignored_paths

from tests.client.repository_stub import (
    Exchange,
    commit_all,
    exchange_with_work,
    fingerprint,
    git,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return exchange_with_work(tmp_path)


def status(exchange: Exchange) -> list[str]:
    return git(exchange.top, "status", "--porcelain").splitlines()


def test_the_work_in_a_clean_working_tree(exchange: Exchange) -> None:
    write(exchange.box, {"new.bin": b"\0\xff", "d/c.txt": "x\n"})
    (exchange.box / "d" / "b.txt").unlink()

    exchange.apply()

    assert (exchange.top / "a.txt").read_text() == "better\n"
    assert (exchange.top / "new.bin").read_bytes() == b"\0\xff"
    assert git(exchange.top, "diff", "--cached", "--name-only") == ""
    assert git(exchange.top, "status", "--porcelain").splitlines() == [
        *("M a.txt", " D d/b.txt", "?? d/c.txt", "?? new.bin"),
    ]


def test_a_working_tree_that_is_not_clean(exchange: Exchange) -> None:
    write(exchange.top, {"d/b.txt": "mine\n"})

    with pytest.raises(RepositoryRefused, match=r"is not clean: d/b\.txt"):
        exchange.apply()


def test_untracked_files_stay_as_they_are(exchange: Exchange) -> None:
    write(exchange.top, {"mine.txt": "x\n", ".env": "TOKEN=1\n"})
    exchange.leave_out = [".env"]
    exchange.pull()
    exchange.push()
    write(exchange.box, {"a.txt": "best\n"})

    assert exchange.apply().part is Part.ALL
    assert status(exchange) == ["M a.txt", "?? .env", "?? mine.txt"]
    commit_all(exchange.top, "Take the work")
    write(exchange.top, {"new.txt": "x\n"})
    exchange.push()
    write(exchange.box, {"new.txt": "y\n"})
    with pytest.raises(RepositoryRefused, match=r"git does not track here: new\.txt"):
        exchange.apply()


def test_a_working_tree_in_the_middle_of_something(exchange: Exchange) -> None:
    (exchange.top / ".git" / "MERGE_HEAD").write_text("")

    with pytest.raises(RepositoryRefused, match="in the middle of a merge"):
        exchange.apply()


def test_files_that_run_later_are_applied_only_if_that_is_allowed(exchange: Exchange) -> None:
    write(exchange.box, {".envrc": "rm -rf ~\n"})
    with pytest.raises(RepositoryRefused, match=r"1 file that would run .*: \.envrc"):
        exchange.apply()
    assert git(exchange.top, "status", "--porcelain") == ""

    applied = exchange.apply(allow_runs_later=True)

    assert applied.summary.runs_later[0].runner == "the shell, on entering the directory"
    assert (exchange.top / ".envrc").exists()


def test_work_that_does_not_fit_the_files_here(exchange: Exchange) -> None:
    write(exchange.top, {"a.txt": "mine\n"})
    commit_all(exchange.top)

    with pytest.raises(RepositoryRefused, match="does not fit"):
        exchange.apply()

    assert (exchange.top / "a.txt").read_text() == "mine\n"


def test_an_ignored_file_is_not_overwritten(exchange: Exchange) -> None:
    write(exchange.top, {".git/info/exclude": "local.txt\n", "local.txt": "mine\n"})
    write(exchange.box, {"local.txt": "theirs\n"})

    with pytest.raises(RepositoryRefused, match="does not fit"):
        exchange.apply()

    assert (exchange.top / "local.txt").read_text() == "mine\n"


def test_later_work_is_applied_without_what_was_applied_before(exchange: Exchange) -> None:
    assert exchange.apply().part is Part.ALL
    commit_all(exchange.top, "Take the work")
    write(exchange.box, {"a.txt": "best\n", "new.txt": "x\n"})

    applied = exchange.apply()

    assert applied.part is Part.NEWER
    assert [each.path for each in applied.summary.files] == ["a.txt", "new.txt"]
    assert (exchange.top / "a.txt").read_text() == "best\n"
    assert status(exchange) == ["M a.txt", "?? new.txt"]
    write(exchange.box, {"d/b.txt": "y\n"})
    with pytest.raises(RepositoryRefused, match=r"is not clean: a\.txt"):
        exchange.apply()


def test_later_work_is_applied_on_edits_of_the_person(exchange: Exchange) -> None:
    write(exchange.box, {"long.txt": "".join(f"{each}\n" for each in range(40))})
    exchange.apply()
    (exchange.top / "long.txt").write_text(
        (exchange.top / "long.txt").read_text().replace("3\n", "three\n", 1)
    )
    commit_all(exchange.top, "Take the work, and change it")
    write(exchange.box, {"long.txt": "".join(f"{each}\n" for each in range(50))})

    assert exchange.apply().part is Part.NEWER

    text = (exchange.top / "long.txt").read_text()
    assert ("three\n" in text, text.endswith("49\n")) == (True, True)


@pytest.mark.parametrize("is_committed", [False, True])
def test_nothing_is_applied_twice(exchange: Exchange, *, is_committed: bool) -> None:
    exchange.apply()
    if is_committed:
        commit_all(exchange.top)
    before = status(exchange)

    assert exchange.apply().part is Part.NOTHING

    assert status(exchange) == before


def test_nothing_is_applied_that_the_person_has_changed_since(exchange: Exchange) -> None:
    exchange.apply()
    write(exchange.top, {"a.txt": "mine\n"})
    commit_all(exchange.top)

    assert exchange.apply().part is Part.NOTHING

    assert (exchange.top / "a.txt").read_text() == "mine\n"


def test_nothing_is_applied_that_was_merged(exchange: Exchange) -> None:
    exchange.pull()
    git(exchange.top, "merge", "-q", "sandbox/box")

    assert exchange.apply().part is Part.NOTHING


@pytest.mark.parametrize("later", [{}, {"d/b.txt": "y\n"}, {"a.txt": "best\n"}])
def test_all_is_applied_again_after_the_person_discarded_it(
    exchange: Exchange, later: dict[str, str | bytes]
) -> None:
    exchange.apply()
    git(exchange.top, "checkout", "-q", ".")
    write(exchange.box, later)

    assert exchange.apply().part is Part.AGAIN

    for name, text in {"a.txt": "better\n", **later}.items():
        assert (exchange.top / name).read_text() == text


@pytest.mark.parametrize("later", [{}, {"c.txt": "x\n"}])
def test_a_later_part_is_applied_again_after_the_person_discarded_it(
    exchange: Exchange, later: dict[str, str | bytes]
) -> None:
    exchange.apply()
    commit_all(exchange.top, "Take the work")
    write(exchange.box, {"d/b.txt": "y\n"})
    exchange.apply()
    git(exchange.top, "checkout", "-q", ".")
    write(exchange.box, later)

    applied = exchange.apply()

    assert applied.part is Part.AGAIN
    assert {each.path for each in applied.summary.files} == {"d/b.txt", *later}
    assert exchange.apply().part is Part.NOTHING


def test_nothing_is_applied_twice_to_text_that_repeats_itself(exchange: Exchange) -> None:
    write(exchange.box, {"list.txt": "- item\n" * 8})
    exchange.apply()
    commit_all(exchange.top)
    write(exchange.box, {"list.txt": "- item\n" * 9})
    exchange.apply()
    commit_all(exchange.top)
    write(exchange.box, {"new.txt": "x\n"})

    assert exchange.apply().part is Part.NEWER

    assert (exchange.top / "list.txt").read_text() == "- item\n" * 9


def test_work_that_was_merged_is_not_applied_again(exchange: Exchange) -> None:
    write(exchange.top, {"list.txt": "- item\n" * 8})
    commit_all(exchange.top)
    exchange.pull()
    exchange.push()
    write(exchange.box, {"list.txt": "- item\n" * 9})
    git(exchange.top, "merge", "-q", exchange.pull()[0].branch)

    assert exchange.apply().part is Part.NOTHING
    write(exchange.box, {"new.txt": "x\n"})
    assert exchange.apply().part is Part.NEWER
    assert (exchange.top / "list.txt").read_text() == "- item\n" * 9


def test_an_earlier_record_has_the_last_commit_that_was_applied(exchange: Exchange) -> None:
    exchange.apply()
    commit_all(exchange.top)
    (path,) = (exchange.top / ".git" / "remote-sandbox" / "sent").glob("*/*.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "applied": record["applied"][0]}))
    write(exchange.box, {"d/b.txt": "y\n"})

    assert exchange.apply().part is Part.NEWER


def test_nothing_is_applied_of_work_that_the_agent_took_back(exchange: Exchange) -> None:
    exchange.apply()
    git(exchange.top, "checkout", "-q", ".")
    write(exchange.box, {"a.txt": "one\n"})

    assert exchange.apply().part is Part.NOTHING

    assert status(exchange) == []


@pytest.mark.parametrize("required", ["true", "false"])
def test_a_filter_that_fails_changes_nothing(exchange: Exchange, required: str) -> None:
    git(exchange.top, "config", "filter.f.smudge", "cat; exit 1")
    git(exchange.top, "config", "filter.f.clean", "cat")
    git(exchange.top, "config", "filter.f.required", required)
    write(exchange.top, {".git/info/attributes": "d/* filter=f\n"})
    (exchange.box / "d" / "b.txt").unlink()
    write(exchange.box, {"d/c.txt": "x\n"})
    exchange.pull()
    before = fingerprint(exchange.top)

    with pytest.raises(RepositoryRefused, match=r"could not apply .*(d/c\.txt|filter)") as caught:
        exchange.apply()

    assert fingerprint(exchange.top) == before
    assert caught.value.advice.startswith("The working tree is as it was")


def test_files_are_written_as_git_checks_them_out(exchange: Exchange) -> None:
    write(exchange.top, {"up.sh": "tr a-z A-Z\n", ".gitattributes": "*.txt filter=up eol=crlf\n"})
    git(exchange.top, "config", "filter.up.smudge", "sh ./up.sh")  # at the top
    git(exchange.top, "config", "filter.up.clean", "tr A-Z a-z")
    commit_all(exchange.top)
    write(exchange.box, {"run.sh": "x\n"})
    (exchange.box / "run.sh").chmod(0o755)
    (exchange.box / "link").symlink_to("a.txt")

    exchange.apply(allow_runs_later=True)

    assert (exchange.top / "a.txt").read_bytes() == b"BETTER\r\n"
    assert (exchange.top / "run.sh").stat().st_mode & 0o111
    assert (exchange.top / "link").readlink().name == "a.txt"
    assert status(exchange) == ["M a.txt", "?? link", "?? run.sh"]


def test_changes_that_git_overlooks_are_kept(exchange: Exchange) -> None:
    lines = [f"{each}\n" for each in range(40)]
    write(exchange.top, {"long.txt": "".join(lines)})
    commit_all(exchange.top)
    exchange.pull()
    git(exchange.top, "branch", "-D", "sandbox/box")
    exchange.push()
    git(exchange.top, "update-index", "--assume-unchanged", "long.txt")
    write(exchange.top, {"long.txt": "".join(["mine\n", *lines])})
    write(exchange.box, {"long.txt": "".join([*lines, "theirs\n"])})

    exchange.apply()

    assert (exchange.top / "long.txt").read_text() == "".join(["mine\n", *lines, "theirs\n"])


def test_a_push_begins_anew(exchange: Exchange) -> None:
    exchange.apply()
    commit_all(exchange.top)
    exchange.push()
    write(exchange.box, {"d/b.txt": "y\n"})

    assert exchange.apply().part is Part.ALL

    assert status(exchange) == ["M d/b.txt"]


def test_the_dangers_of_what_is_new_count(exchange: Exchange) -> None:
    write(exchange.box, {"Makefile": "all:\n"})
    exchange.apply(allow_runs_later=True)
    commit_all(exchange.top)
    write(exchange.box, {"a.txt": "best\n"})

    assert exchange.apply().part is Part.NEWER


def test_files_that_are_left_out_stay_out_of_later_work(exchange: Exchange) -> None:
    write(exchange.top, {".env": "TOKEN=1\n"})
    commit_all(exchange.top)
    exchange.leave_out = (".env",)
    exchange.pull()
    git(exchange.top, "branch", "-D", "sandbox/box")
    exchange.push()
    write(exchange.box, {"a.txt": "2\n"})
    exchange.apply()
    commit_all(exchange.top)
    write(exchange.box, {"a.txt": "3\n"})

    assert exchange.apply().part is Part.NEWER

    assert (exchange.top / ".env").read_text() == "TOKEN=1\n"
    assert status(exchange) == ["M a.txt"]


def test_work_of_another_worktree(exchange: Exchange) -> None:
    linked = exchange.top.parent / "linked"
    git(exchange.top, "worktree", "add", "-q", str(linked))

    with pytest.raises(RepositoryRefused, match=f"of another worktree, {exchange.top}"):
        Exchange(linked, exchange.box).apply()

    assert git(linked, "status", "--porcelain") == ""


def test_ignored_paths_are_written_only_if_that_is_allowed(exchange: Exchange) -> None:
    write(exchange.top, {".git/info/exclude": "node_modules/\n*.log\n"})
    write(exchange.box, {"node_modules/x.js": "x\n", "d/y.log": "x\n"})
    git(exchange.box, "add", "-f", ".")
    with pytest.raises(RepositoryRefused, match=r"2 files in paths .*: d/y\.log, node"):
        exchange.apply()
    assert not (exchange.top / "node_modules").exists()
    assert status(exchange) == []

    exchange.apply(allow_runs_later=True)

    assert (exchange.top / "node_modules" / "x.js").exists()


def test_paths_below_files_and_links_that_git_ignores(exchange: Exchange, tmp_path: Path) -> None:
    write(exchange.top, {".git/info/exclude": "build\ncache\nlib/\n", "build": "mine\n"})
    (exchange.top / "cache").symlink_to(tmp_path)
    (exchange.top / "lib").mkdir()

    found = ignored_paths(
        exchange.repository, ["build/x", "build/y", "cache/deep/x", "lib/x", "lib", "other/x", "d"]
    )

    assert found == ("build", "cache", "lib/x", "lib")
