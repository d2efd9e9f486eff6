"""Pushes and pulls as sentences and objects: what goes, what came, and what comes next."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from sandbox_client import Pull, Push, PushPlan, RepositoryRefused
from sandbox_client.cli.repositories import describe_interruption
from sandbox_client.presentation.repositories import (
    describe_plan,
    describe_pull,
    describe_push,
    diffstat,
    next_commands,
    pull_content,
    push_content,
)
from sandbox_client.repository.amount import Amount
from sandbox_client.repository.apply import Part
from sandbox_client.repository.file_kinds import RunsLater
from sandbox_client.repository.model import APPLYING, IMPORTING, UNPACKING
from sandbox_client.repository.snapshot import Survey
from sandbox_client.repository.summary import CommitRow, FileRow, Summary

SURVEY = Survey(
    paths=("a.txt", "b\x1b.txt", ".env"),
    in_head=frozenset({"a.txt"}),
    untracked=("b\x1b.txt", ".env"),
    submodules=("lib",),
    embedded=("inner/",),
    lfs_files=2,
    in_progress="a merge",
)
PLAN = PushPlan(
    name="box",
    repository="/home/ann/project",
    directory="/sandbox/project",
    branch="main",
    head="1" * 40,
    amount=Amount(3, 2_500_000, 2),
    is_needed=True,
    has_history=False,
    has_work=False,
    survey=SURVEY,
    left_out=(".env", "old.key"),
    sent_before=("old.key",),
    overlooked=("local.ini",),
    unused=("*.typo",),
)
PUSH = Push(PLAN, "2" * 40, 1_200)
PULL = Pull(
    "box",
    "/home/ann/my project",
    "/sandbox/project",
    "sandbox/box",
    commit="3" * 40,
    is_new=True,
    is_changed=True,
    summary=Summary(
        (CommitRow("3" * 40, "Agent", "2026-01-01T00:00:00+00:00", "Better"),),
        (
            FileRow("a.txt", "M", "100644", 3, 1),
            FileRow("b\x1b[2J.sh", "A", "100755", 80, 0),
            FileRow("c.png", "A", "100644", None, None),
        ),
        (RunsLater("b\x1b[2J.sh", "you, as a program"),),
    ),
    left_uncommitted=True,
    other_branches=2,
)
UNCHANGED = replace(PULL, commit="", other_branches=0)


def test_a_plan_says_what_goes_where_to_and_what_stays() -> None:
    assert describe_plan(PLAN) == [
        (
            "/home/ann/project (branch main at 1111111111) goes to box:/sandbox/project: 3 files"
            " (2.5 MB), 2 commits, no earlier history"
        ),
        r"  not in git yet, and goes as well: b\x1b.txt",
        "  stays here: .env",
        "  stays here, but an earlier push has sent it: old.key",
        "  git is told to overlook its changes, which stay here: local.ini",
        "  a submodule, whose files stay here: lib",
        "  a repository of its own, which stays here: inner/",
        "  fits no file that could go: *.typo",
        "  2 files of Git LFS: only the pointers go",
        "  in the middle of a merge: it goes as the files are now",
    ]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (replace(PLAN, branch=""), "(detached HEAD at 1111111111)"),
        (replace(PLAN, head=""), "(branch main, no commit yet)"),
        (replace(PLAN, has_history=True), "2 commits with the history"),
        (
            replace(PLAN, amount=Amount(1, 2, 2, 1, 3_000_000)),
            "1 file (2 bytes) and 1 earlier version of a file (3.0 MB), 2 commits",
        ),
        (
            replace(PLAN, amount=Amount(1, 2, 2, 3, 20)),
            " and 3 earlier versions of files (20 bytes), 2",
        ),
        (replace(PLAN, is_needed=False), "box has just this already, in /sandbox/project"),
        (replace(PLAN, is_needed=False, has_work=True), "already, and work on it, in"),
    ],
)
def test_a_plan_of_another_kind(plan: PushPlan, words: str) -> None:
    assert words in describe_plan(plan)[0]


def test_a_plan_without_work_that_was_pulled() -> None:
    plan = replace(PLAN, drops_work=True)

    assert describe_plan(plan)[-1].startswith("  lacks work that was pulled from there")
    assert push_content(Push(plan, "2" * 40))["drops_work"] is True


@pytest.mark.parametrize(
    ("push", "text"),
    [
        (PUSH, "box:/sandbox/project is at 2222222222 (1.2 kB sent)"),
        (
            replace(PUSH, keeps_modes=False),
            (
                "box:/sandbox/project is at 2222222222 (1.2 kB sent); files there cannot be made"
                " executable, git knows which are"
            ),
        ),
        (
            replace(PUSH, plan=replace(PLAN, is_needed=False)),
            "box:/sandbox/project has 2222222222 already; nothing was sent",
        ),
    ],
)
def test_a_push_that_is_done(push: Push, text: str) -> None:
    assert describe_push(push) == text
    assert push_content(push)["commit"] == "2" * 40


def test_a_pull_shows_commits_files_and_what_would_run() -> None:
    assert describe_pull(PULL) == [
        "branch sandbox/box is new: 1 commit from box:/sandbox/project",
        "  3333333333 Better",
        "  a.txt       | 4 ++-",
        r"  b\x1b[2J.sh | 80 " + "+" * 40 + " (new)",
        "  c.png       | new, binary",
        "  3 files changed, 83 added and 1 deleted lines",
        "the last commit has what was left uncommitted in the sandbox",
        "2 other branches stayed in the sandbox",
        "these can run on this machine after a merge; look at them first:",
        r"  b\x1b[2J.sh (you, as a program)",
    ]


@pytest.mark.parametrize(
    ("pull", "line"),
    [
        (UNCHANGED, "box has no work yet: /sandbox/project is as it was sent"),
        (replace(PULL, is_new=False), "branch sandbox/box went forward: 1 commit from"),
        (replace(PULL, is_new=False, is_changed=False), "branch sandbox/box is up to date:"),
    ],
)
def test_a_pull_of_another_kind(pull: Pull, line: str) -> None:
    assert describe_pull(pull)[0].startswith(line)


@pytest.mark.parametrize(
    ("pull", "line"),
    [
        (replace(UNCHANGED, other_branches=1), "1 other branch stayed in the sandbox"),
        (replace(UNCHANGED, stashes=1), "1 stash stayed in the sandbox"),
        (replace(UNCHANGED, stashes=2), "2 stashes stayed in the sandbox"),
        (
            replace(UNCHANGED, inner_repositories=1),
            "1 repository within the directory stayed in the sandbox",
        ),
    ],
)
def test_work_that_no_pull_fetches_is_told(pull: Pull, line: str) -> None:
    first = "box has nothing to fetch from /sandbox/project yet"
    assert describe_pull(pull) == [first, line]
    has_work = replace(pull, commit="3" * 40)
    assert line in describe_pull(has_work)
    content = pull_content(pull)
    counts = (content["other_branches"], content["stashes"], content["inner_repositories"])
    assert counts == (pull.other_branches, pull.stashes, pull.inner_repositories)


@pytest.mark.parametrize(
    ("part", "is_applied", "line"),
    [
        (Part.ALL, True, "applied to the working tree, not committed"),
        (Part.NEWER, True, "not committed: the changes since the last --apply or merge"),
        (Part.AGAIN, True, "also changes of an earlier --apply, which were not there any more"),
        (
            Part.NOTHING,
            False,
            "nothing new to apply: all of it was applied before, or is here already",
        ),
    ],
)
def test_work_that_was_applied_is_told(part: Part, *, is_applied: bool, line: str) -> None:
    applied = replace(PULL, applied_part=part)

    assert describe_pull(applied)[-1].endswith(line)
    content = pull_content(applied)
    assert (content["applied"], content["applied_part"]) == (is_applied, part.value)


@pytest.mark.parametrize(
    ("pull", "line"),
    [
        (
            replace(PULL, branch="sandbox/box_2", earlier_branch="sandbox/box"),
            "branch sandbox/box has the work on an earlier push, and stays",
        ),
        (
            replace(PULL, is_in_the_way=True),
            "commit your changes before you merge: the branch changes the same files",
        ),
        (
            replace(PULL, head="none", base="4" * 40),
            "the last command makes the files, as they were sent, your first commit",
        ),
    ],
)
def test_the_last_line_is_about_the_next_commands(pull: Pull, line: str) -> None:
    assert describe_pull(pull)[-1] == line
    assert pull_content(pull)["earlier_branch"] == pull.earlier_branch


def test_work_that_could_not_be_applied_is_told() -> None:
    refused = replace(PULL, not_applied=RepositoryRefused("The working tree is not clean"))

    assert pull_content(refused)["not_applied"] == "The working tree is not clean"


def test_paths_that_git_ignores_here_are_named() -> None:
    pull = replace(PULL, ignored=("mine\x1b.log", "node_modules/x"), overwrites=("mine\x1b.log",))

    lines = describe_pull(pull)

    assert "goes to paths that git ignores here, if you merge it: node_modules/x" in lines
    assert "a merge would overwrite files of yours that git ignores: mine\\x1b.log" in lines
    assert pull_content(pull)["ignored"] == ["mine\\x1b.log", "node_modules/x"]


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ([], "while starting: nothing was changed"),
        (["packing the repository"], "while packing the repository: nothing was changed"),
        ([UNPACKING], "may have unpacked a part: push again, which completes it"),
        ([UNPACKING, "looking at the sandbox"], "sandbox: the repository has arrived"),
        ([IMPORTING], "and not applied; pull again to see the branch"),
        ([IMPORTING, APPLYING], "the working tree has all of the changes or none of them"),
    ],
)
def test_an_interruption_is_told_with_its_effect(steps: list[str], line: str) -> None:
    assert line in describe_interruption(steps)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_diffstat_fits_a_width(width: int) -> None:
    rows = [
        FileRow(f"{'directory/' * 12}file.txt", "A", "100644", 500, 7),
        FileRow("\u6f22\u5b57" * 30, "M", "100644", 3, 0),
        FileRow("logo.png", "D", "000000", None, None),
    ]

    lines = diffstat(rows, width)

    assert max(map(cell_len, lines[:-1])) <= width
    assert lines[0].split("|")[0].strip().endswith("file.txt")
    assert re.search(r"\| 507 \++-+ \(new\)$", lines[0])
    assert lines[2].endswith("| deleted, binary")


def test_a_long_diffstat_is_cut() -> None:
    lines = diffstat([FileRow(f"{n}.txt", "M", "100644", 1, 0) for n in range(100)])

    assert len(lines) == 62
    assert lines[-2:] == [
        "  … and 40 more",
        "  100 files changed, 100 added and 0 deleted lines",
    ]


def test_the_next_commands_can_be_copied() -> None:
    assert next_commands(PULL) == [
        "git diff HEAD...sandbox/box",
        "git log -p HEAD..sandbox/box",
        "git merge sandbox/box",
    ]
    elsewhere = next_commands(replace(PULL, base="4" * 40), is_here=False)
    assert elsewhere[0] == "git -C '/home/ann/my project' diff 444444444444..sandbox/box"
    assert elsewhere[2].endswith(" merge sandbox/box")
    assert next_commands(replace(PULL, commit="")) == []


def test_an_object_has_no_control_characters() -> None:
    content = pull_content(replace(PULL, diff="+x\n"), 2)

    assert "\x1b" not in str(content)
    assert content["diff"] == "+x\n"
    assert [content["files_changed"], content["lines_added"]] == [3, 83]
    assert content["runs_later"] == [{"path": r"b\x1b[2J.sh", "run_by": "you, as a program"}]
