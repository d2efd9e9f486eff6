"""A repository goes to a sandbox of a fake proxy and comes back, through the Python API."""

from __future__ import annotations

import os
import random
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_client.errors import (
    InvalidInput,
    ProxyUnreachable,
    RepositoryRefused,
    SandboxError,
    WorkRefused,
)
from sandbox_client.files.shell_scripts import BLOCK_SIZE
from sandbox_client.polling import Timing
from sandbox_client.presentation.repositories import describe_plan, describe_pull, next_commands
from sandbox_client.prompts import Prompts
from sandbox_client.repository import transfer
from sandbox_client.repository.model import PushOptions
from sandbox_client.repository.transfer_note import TransferNote

from tests.client.repository_stub import (
    commit_all,
    fingerprint,
    git,
    make_repository,
    run,
    tree_of_directory,
    write,
)
from tests.client.strategies import some_examples
from tests.integration.sandbox import BOX, ready_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    import httpx
    from sandbox_client.repository.model import PushPlan

    from tests.integration.sandbox import Delivery, ReadySandbox

BRANCH = "sandbox/box"
CONDUCTS: list[dict[str, Any]] = [{"as_deployed": True}, {"as_deployed": False}]
# Of commands: a wait for one that does not answer takes a second and a half.
FAST = Timing(lambda: time.monotonic() * 20, lambda seconds: anyio.sleep(seconds / 20))


@pytest.mark.parametrize("conduct", CONDUCTS, ids=["as deployed", "default"])
async def test_a_repository_goes_and_comes_back(tmp_path: Path, conduct: dict[str, Any]) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "one\n"})
    write(top, {"new.txt": "x\n"})
    plans: list[PushPlan] = []
    async with ready_sandbox(tmp_path / "sandboxes", **conduct) as box:
        push = await box.client.push(BOX, str(top), on_plan=plans.append)
        assert (push.directory, plans) == ("/sandbox/project", [push.plan])
        assert (push.plan.amount.files, push.plan.survey.untracked) == (2, ("new.txt",))
        assert push.keeps_modes
        write(box.work / "project", {"a.txt": "better\n"})
        commit_all(box.work / "project", "Work")
        write(box.work / "project", {"left.txt": "x\n"})

        pull = await box.client.pull(BOX, str(top), max_diff=10_000)

        assert [each.path for each in pull.summary.files] == ["a.txt", "left.txt"]
        assert (pull.branch, pull.is_new, pull.left_uncommitted) == (BRANCH, True, True)
        assert "+better" in pull.diff
        assert git(top, "show", f"{BRANCH}:a.txt") == "better"
        assert await box.leftovers() == []


async def test_the_plan_and_each_long_step_are_told_before_they_begin(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.bin": random_bytes(300_000)})
    (top / "a.bin").unlink()
    head = commit_all(top)
    write(top, {"b.txt": "x\n"})
    told: list[str] = []
    async with ready_sandbox(tmp_path / "sandboxes") as box:

        def on_plan(plan: PushPlan) -> None:
            assert box.transport.file_requests("write") == []
            told.extend(describe_plan(plan))

        await box.client.repositories.push(
            *(BOX, str(top), PushOptions(history=True)),
            on_plan=on_plan,
            on_activity=told.append,
        )

    assert told == [
        "looking at the repository",
        "looking at the sandbox",
        "making a snapshot of the working tree",
        (
            f"{top} (branch main at {head[:10]}) goes to box:/sandbox/project:"
            " 1 file (2 bytes) and 1 earlier version of a file (300 kB), 3 commits with the history"
        ),
        "  not in git yet, and goes as well: b.txt",
        "packing the repository",
        "sending the repository",
        "unpacking the repository in the sandbox",
        "looking at the sandbox",
    ]


async def test_a_pull_of_nothing_new_shows_the_work_and_can_apply_it(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "one\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        await box.client.push(BOX, str(top))
        assert not (await box.client.pull(BOX, str(top))).has_work
        write(box.work / "project", {"a.txt": "better\n", "Makefile": "all:\n"})
        first = await box.client.pull(BOX, str(top))
        write(top, {"a.txt": "mine\n"})
        refused = await box.client.pull(BOX, str(top), apply=True)
        git(top, "checkout", "a.txt")
        dangerous = await box.client.pull(BOX, str(top), apply=True)
        applied = await box.client.pull(BOX, str(top), apply=True, allow_programs=True)

    assert (refused.is_changed, refused.commit) == (False, first.commit)
    assert refused.summary == first.summary
    assert "not clean: a.txt" in str(refused.not_applied)
    assert "would run on this machine: Makefile" in str(dangerous.not_applied)
    assert applied.is_applied
    assert git(top, "status", "--porcelain").splitlines() == ["M a.txt", "?? Makefile"]


async def test_an_unfinished_apply_is_not_sent_and_a_pull_undoes_it(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "one\n", "b.txt": "two\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        await box.client.push(BOX, str(top))
        left = top / ".git" / "remote-sandbox" / "apply-killed"
        journal = '{"files": [["a.txt", [0, 0, 0], null]], "directories": {}}'
        write(left, {"journal.json": journal, "old/a.txt": "one\n"})
        (top / "a.txt").unlink()
        with pytest.raises(RepositoryRefused, match="has not ended"):
            await box.client.repositories.check(str(top), PushOptions())
        with pytest.raises(RepositoryRefused, match="has not ended"):
            await box.client.push(BOX, str(top))
        assert (await box.client.pull(BOX, str(top))).put_back == 0
        pull = await box.client.pull(BOX, str(top), apply=True)
        await box.client.push(BOX, str(top))

    assert (pull.has_work, pull.put_back) == (False, 1)
    assert describe_pull(pull)[-1].endswith("undone first: 1 file put back as before it")
    assert git(top, "status", "--porcelain") == ""


async def test_work_goes_forward_after_each_pull(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "one\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        await box.client.push(BOX, str(top))
        for text in ("two\n", "three\n"):
            write(box.work / "project", {"a.txt": text})
            pull = await box.client.pull(BOX, str(top))
            assert pull.is_changed
    assert git(top, "show", f"{BRANCH}:a.txt") == "three"


def without_commit(at: Path) -> Path:
    top = make_repository(at)
    write(top, {"a.txt": "one\n"})
    return top


def with_commit(at: Path) -> Path:
    return make_repository(at, {"a.txt": "one\n"})


def detached(at: Path) -> Path:
    git(with_commit(at), "checkout", "-q", "--detach")
    return at


def shallow(at: Path) -> Path:
    origin = with_commit(at.parent / "origin")
    write(origin, {"a.txt": "two\n"})
    commit_all(origin)
    git(at.parent, "clone", "-q", "--depth", "1", f"file://{origin}", str(at))
    return at


def with_changes(at: Path) -> Path:
    write(with_commit(at), {"mine.txt": "x\n"})
    return at


def do_nothing(top: Path) -> None:
    pass


def leave_history(top: Path) -> None:
    git(top, "checkout", "-q", "--orphan", "again")


def begin_again(top: Path) -> None:
    leave_history(top)
    commit_all(top)


@pytest.mark.parametrize(
    ("make", "before_pull", "before_merge"),
    [
        (without_commit, do_nothing, do_nothing),
        (without_commit, commit_all, do_nothing),
        (with_commit, leave_history, do_nothing),
        (with_commit, begin_again, do_nothing),
        (with_commit, do_nothing, do_nothing),
        (detached, do_nothing, do_nothing),
        (shallow, do_nothing, do_nothing),
        (with_changes, do_nothing, commit_all),
        (with_changes, commit_all, do_nothing),
    ],
)
async def test_the_commands_after_a_pull_work(
    tmp_path: Path,
    make: Callable[[Path], Path],
    before_pull: Callable[[Path], object],
    before_merge: Callable[[Path], object],
) -> None:
    top = make(tmp_path / "person" / "my project")
    (top / "sandbox" / "box").mkdir(parents=True)  # a name that is not only the branch's
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        push = await box.client.push(BOX, str(top))
        there = box.work / push.directory.removeprefix("/sandbox/")
        write(there, {"a.txt": "better\n"})
        commit_all(there)
        write(there, {"left.txt": "x\n"})
        before_pull(top)
        pull = await box.client.pull(BOX, str(top))

    diff, log, merge = next_commands(pull, is_here=False)

    shown = run(tmp_path, "sh", "-c", diff)
    assert "+better" in shown
    assert "mine.txt" not in shown
    assert "+better" in run(tmp_path, "sh", "-c", log)
    before_merge(top)
    run(tmp_path, "sh", "-c", merge)
    assert git(top, "rev-parse", "HEAD^{tree}") == git(top, "rev-parse", f"{BRANCH}^{{tree}}")
    assert git(top, "status", "--porcelain") == ""


@dataclass
class Loss:
    """Loses the n-th request to a route, or its answer, and all requests after it."""

    route: str
    number: int
    kind: Delivery
    is_over: bool = False
    _seen: int = 0

    def __call__(self, request: httpx.Request) -> Delivery:
        if self.is_over:
            return "delivered"
        if request.url.path.endswith(self.route):
            self._seen += 1
        if self._seen < self.number:
            return "delivered"
        first, self.number = self._seen == self.number, 0
        return self.kind if first else "request lost"


EXEC, WRITE, READ = "/exec", "/v1/file/write", "/v1/file/read"  # of either API
PUSH_STEPS = {
    "the look at the sandbox": (EXEC, 1),
    "the first piece": (WRITE, 1),
    "a later piece": (WRITE, 3),
    "the script": (WRITE, 4),
    "the unpacking": (EXEC, 2),
}
PULL_STEPS = {
    "the look at the sandbox": (EXEC, 1),
    "the script": (WRITE, 1),
    "the collecting": (EXEC, 2),
    "the packing of a block": (EXEC, 3),
    "a block": (READ, 2),
}
lost = pytest.mark.parametrize("kind", ["answer lost", "request lost"])


def with_fast_commands(box: ReadySandbox) -> None:
    box.client.prompts = Prompts(box.client.sandboxes, FAST)
    del box.client.files  # it has the others


@lost
@pytest.mark.parametrize("step", PUSH_STEPS)
async def test_a_push_that_an_outage_ended_is_repeated(
    tmp_path: Path, step: str, kind: Delivery
) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.bin": random_bytes(200_000)})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        with_fast_commands(box)
        box.transport.delivery = loss = Loss(*PUSH_STEPS[step], kind)
        with pytest.raises(SandboxError):
            await box.client.push(BOX, str(top))
        assert loss.number == 0
        loss.is_over = True

        await box.client.push(BOX, str(top))

        assert tree_of_directory(box.work / "project") == git(top, "rev-parse", "HEAD^{tree}")


async def test_a_push_goes_on_with_the_pieces_that_have_not_arrived(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.bin": random_bytes(500_000)})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        box.transport.delivery = loss = Loss(WRITE, 5, "answer lost")
        with pytest.raises(SandboxError):
            await box.client.push(BOX, str(top))
        before, loss.is_over = len(box.transport.file_requests("write")), True

        push = await box.client.push(BOX, str(top))

        pieces = -(
            -push.size // box.client.files.piece_size("/home/gem/.remote-sandbox-x", "bundle")
        )
        assert len(box.transport.file_requests("write")) - before < pieces - 2
        assert tree_of_directory(box.work / "project") == git(top, "rev-parse", "HEAD^{tree}")
        assert [*box.home.glob(".remote-sandbox-*")] == []
        assert [*(top / ".git/remote-sandbox").glob("tmp-*")] == []


async def test_a_part_that_differs_is_sent_again(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.bin": random_bytes(500_000)})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        box.transport.delivery = loss = Loss(WRITE, 5, "answer lost")
        with pytest.raises(SandboxError):
            await box.client.push(BOX, str(top))
        (part,) = box.home.glob(".remote-sandbox-*/bundle")
        part.write_bytes(b"x" * 100_000)
        loss.is_over = True

        await box.client.push(BOX, str(top))

        assert tree_of_directory(box.work / "project") == git(top, "rev-parse", "HEAD^{tree}")


async def test_two_uploads_of_the_same_do_not_meet(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.bin": random_bytes(500_000)})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        box.transport.delivery = loss = Loss(WRITE, 5, "answer lost")
        with pytest.raises(SandboxError):
            await box.client.push(BOX, str(top))
        (note,) = top.glob(".git/remote-sandbox/tmp-outgoing-*/note")
        (part,) = box.home.glob(".remote-sandbox-*/bundle")
        before, loss.is_over = part.read_bytes(), True
        with closing(TransferNote(note.parent)) as first:  # as the process of the first one has it
            assert first.lock()
            await box.client.push(BOX, str(top))
            assert (note.parent / "bundle").exists()

        assert part.read_bytes() == before
        assert tree_of_directory(box.work / "project") == git(top, "rev-parse", "HEAD^{tree}")


@dataclass
class BrokenPull:
    """A pull that an outage ended after the first of three blocks."""

    box: ReadySandbox
    top: Path

    @property
    def part(self) -> Path:
        """The part that is here."""
        (part,) = self.top.glob(".git/remote-sandbox/tmp-incoming-*/bundle")
        return part

    async def repeat(self) -> int:
        """Pull again; return how many blocks were fetched."""
        before = len(self.box.transport.file_requests("read"))
        await self.box.client.pull(BOX, str(self.top))
        tree = tree_of_directory(self.box.work / "project")
        assert git(self.top, "rev-parse", f"{BRANCH}^{{tree}}") == tree
        return len(self.box.transport.file_requests("read")) - before

    def leftovers(self) -> list[Path]:
        """Return what is left of pulls, here and in the sandbox."""
        here = self.top.glob(".git/remote-sandbox/tmp-*")
        return [*here, *self.box.home.glob(".remote-sandbox-*")]


@pytest.fixture
async def broken_pull(tmp_path: Path) -> AsyncGenerator[BrokenPull]:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        with_fast_commands(box)
        await box.client.push(BOX, str(top))
        write(box.work / "project", {"b.bin": random_bytes(1_000_000)})
        reads = 0

        def lose_later_blocks(request: httpx.Request) -> Delivery:
            nonlocal reads
            reads += request.url.path.endswith(READ)
            return "request lost" if reads > 1 and request.url.path.endswith(READ) else "delivered"

        box.transport.delivery = lose_later_blocks
        with pytest.raises(ProxyUnreachable):
            await box.client.pull(BOX, str(top))
        box.transport.delivery = lambda _: "delivered"
        broken = BrokenPull(box, top)
        assert broken.part.stat().st_size == BLOCK_SIZE
        assert [*box.home.glob(".remote-sandbox-*/bundle")] != []
        yield broken


async def test_a_pull_goes_on_with_the_blocks_that_have_not_arrived(
    broken_pull: BrokenPull,
) -> None:
    os.utime(broken_pull.part.parent, (0, 0))  # more than a day ago

    assert await broken_pull.repeat() == 2
    assert broken_pull.leftovers() == []


async def test_a_pull_of_other_work_starts_over(
    broken_pull: BrokenPull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "MAX_COMMAND", 0)  # the first script has a directory of its own
    write(broken_pull.box.work / "project", {"a.txt": "y\n"})

    assert await broken_pull.repeat() == 3
    assert broken_pull.leftovers() == []


async def test_a_mixed_bundle_is_refused_and_fetched_anew(broken_pull: BrokenPull) -> None:
    broken_pull.part.write_bytes(b"x" * BLOCK_SIZE)

    with pytest.raises(WorkRefused, match="differs from the one that the sandbox made"):
        await broken_pull.repeat()

    assert broken_pull.leftovers() == []
    assert await broken_pull.repeat() == 3


async def test_a_pull_leaves_the_part_of_another_process(broken_pull: BrokenPull) -> None:
    part = broken_pull.part
    before = [*broken_pull.leftovers(), part.read_bytes()]
    with closing(TransferNote(part.parent)) as other:
        assert other.lock()
        assert await broken_pull.repeat() == 3

    assert [*broken_pull.leftovers(), part.read_bytes()] == before


async def test_commits_that_were_not_pulled_are_told_before_the_upload(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        await box.client.push(BOX, str(top))
        write(box.work / "project", {"b.txt": "x\n"})
        commit_all(box.work / "project")
        assert (await box.client.push(BOX, str(top))).plan.has_work
        write(top, {"a.txt": "y\n"})
        before = len(box.transport.file_requests("write"))

        with pytest.raises(RepositoryRefused, match="commits that were not pulled"):
            await box.client.push(BOX, str(top))

        assert len(box.transport.file_requests("write")) == before
        await box.client.pull(BOX, str(top))
        assert (await box.client.push(BOX, str(top))).plan.is_needed


@lost
@pytest.mark.parametrize("step", PULL_STEPS)
async def test_a_pull_that_an_outage_ended_is_repeated(
    tmp_path: Path, step: str, kind: Delivery
) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        with_fast_commands(box)
        await box.client.push(BOX, str(top))
        write(box.work / "project", {"b.bin": random_bytes(500_000)})
        before = fingerprint(top)
        box.transport.delivery = loss = Loss(*PULL_STEPS[step], kind)
        with pytest.raises(SandboxError):
            await box.client.pull(BOX, str(top))
        assert loss.number == 0
        assert fingerprint(top) == before
        loss.is_over = True

        await box.client.pull(BOX, str(top))

        wanted = tree_of_directory(box.work / "project")
        assert git(top, "rev-parse", f"{BRANCH}^{{tree}}") == wanted


@lost
async def test_a_push_and_a_pull_survive_each_request_once(tmp_path: Path, kind: Delivery) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    seen: set[tuple[str, str]] = set()

    def once(request: httpx.Request) -> Delivery:
        key = (verb, request.url.path.partition("/v1/")[2].rpartition("/")[2])
        if key in seen or not has_answered:
            return "delivered"
        seen.add(key)
        return kind

    async with ready_sandbox(tmp_path / "sandboxes") as box:
        with_fast_commands(box)
        verb, has_answered = "push", False
        box.transport.delivery = once
        await box.client.status(BOX)
        has_answered = True
        await until_done(lambda: box.client.push(BOX, str(top)))
        write(box.work / "project", {"b.txt": "x\n"})
        verb = "pull"
        await until_done(lambda: box.client.pull(BOX, str(top)))

    assert git(top, "show", f"{BRANCH}:b.txt") == "x"
    assert {("push", "exec"), ("push", "write"), ("pull", "exec"), ("pull", "read")} <= seen


@lost
@pytest.mark.parametrize("number", [2, 3])  # the collecting is the second script of a pull
async def test_a_script_is_sent_again_after_an_outage_that_emptied_the_home(
    tmp_path: Path, kind: Delivery, number: int
) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    seen: list[str] = []

    def once(request: httpx.Request) -> Delivery:
        if not request.url.path.endswith(EXEC):
            return "delivered"
        seen.append(request.url.path)
        if len(seen) != number:
            return "delivered"
        for each in box.home.glob(".remote-sandbox-*/run"):
            each.unlink()
        return kind

    async with ready_sandbox(tmp_path / "sandboxes") as box:
        with_fast_commands(box)
        await box.client.push(BOX, str(top))
        write(box.work / "project", {"b.txt": "x\n"})
        box.transport.delivery = once

        pull = await box.client.pull(BOX, str(top))

    assert (pull.is_new, len(seen) >= number) == (True, True)


async def until_done(attempt: Callable[[], Awaitable[object]]) -> None:
    """Repeat a command as its errors advise."""
    for _ in range(5):
        try:
            await attempt()
        except SandboxError as error:
            if not (error.retryable or "epeat" in error.advice):
                raise
        else:
            return
    pytest.fail("it did not succeed")


async def test_two_pulls_at_once(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    pulled: list[str] = []
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        await box.client.push(BOX, str(top))
        write(box.work / "project", {"a.txt": "y\n"})

        async def pull() -> None:
            pulled.append((await box.client.pull(BOX, str(top))).branch)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pull)
            tasks.start_soon(pull)

    assert pulled == [BRANCH, BRANCH]
    assert git(top, "show", f"{BRANCH}:a.txt") == "y"
    assert git(top, "fsck", "--strict", "--no-dangling") == ""


async def test_pulls_while_the_agent_works(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    loop = (
        "i=0; while [ ! -e ../stop ]; do i=$((i+1)); echo $i >>a.txt; git add -A;"
        " git commit -qm $i; echo $i >left.txt; done"
    )
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        push = await box.client.push(BOX, str(top))
        running = await box.client.run(BOX, loop, directory=push.directory, wait=0)
        tips: list[str] = []
        for _ in range(3):
            pull = await box.client.pull(BOX, str(top))
            tips.append(pull.commit or git(top, "rev-parse", "HEAD"))
        (box.work / "stop").touch()
        await box.client.output(BOX, running.session, wait=20, to_end=True)
        await box.client.pull(BOX, str(top))
        wanted = tree_of_directory(box.work / "project")

    for older in tips:
        git(top, "merge-base", "--is-ancestor", older, BRANCH)
    assert git(top, "rev-parse", f"{BRANCH}^{{tree}}") == wanted


async def test_another_repository_is_not_sent_over_one(tmp_path: Path) -> None:
    mine = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    other = make_repository(tmp_path / "other" / "project", {"a.txt": "y\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        await box.client.push(BOX, str(mine))
        with pytest.raises(RepositoryRefused, match="has another repository"):
            await box.client.push(BOX, str(other))
        assert (box.work / "project" / "a.txt").read_text() == "x\n"

        beside = await box.client.push(BOX, str(other), directory="elsewhere")

        assert beside.directory == "/sandbox/elsewhere"
        assert (await box.client.push(BOX, str(other))).directory == beside.directory
        assert await box.client.repositories.pushed(str(other)) == [(BOX, beside.directory)]


async def test_a_directory_is_checked_before_anything_is_sent(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        before = len(box.transport.sent)
        for directory in ("", "..", "~", "/etc/x"):
            with pytest.raises(InvalidInput, match="cannot be the directory of a repository"):
                await box.client.push(BOX, str(top), directory=directory)
            with pytest.raises(InvalidInput, match="cannot be the directory of a repository"):
                await box.client.pull(BOX, str(top), directory=directory)
        assert len(box.transport.sent) == before

        push = await box.client.push(BOX, str(top), directory="./a//b/")
        pull = await box.client.pull(BOX, str(top), directory="a/b")

        assert push.directory == pull.directory == "/sandbox/a/b"


async def test_a_worktree_is_not_sent_over_another_one(tmp_path: Path) -> None:
    main = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    linked, same_name = tmp_path / "person" / "topic", tmp_path / "elsewhere" / "project"
    for number, each in enumerate((linked, same_name)):
        git(main, "worktree", "add", "-q", "-b", f"topic-{number}", str(each))
        write(each, {"a.txt": f"{number}\n"})
    (main / "below").mkdir()
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        await box.client.push(BOX, str(main))

        assert (await box.client.push(BOX, str(linked))).directory == "/sandbox/topic"
        assert (await box.client.push(BOX, str(main / "below"))).directory == "/sandbox/project"
        for given in (None, "project", "/sandbox/./project//"):
            with pytest.raises(RepositoryRefused, match=f"another worktree .*, {main}"):
                await box.client.push(BOX, str(same_name), directory=given)
        assert (box.work / "project" / "a.txt").read_text() == "x\n"

        write(box.work / "topic", {"a.txt": "better\n"})
        pull = await box.client.pull(BOX, str(linked))
        assert (pull.directory, pull.has_work) == ("/sandbox/topic", True)
        pull = await box.client.pull(BOX, str(main), directory="project")
        assert (pull.directory, pull.has_work) == ("/sandbox/project", False)


async def test_each_directory_of_a_sandbox_has_its_branch(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        for directory in ("one", "deep/two"):
            await box.client.push(BOX, str(top), directory=directory)
            write(box.work / directory, {"a.txt": f"{directory}\n"})
        pushed = await box.client.repositories.pushed(str(top))
        assert sorted(pushed) == [(BOX, "/sandbox/deep/two"), (BOX, "/sandbox/one")]
        branches = ("sandbox/box", "sandbox/box.deep-two")
        for text in ("1", "2"):  # each goes forward
            for directory, branch in zip(("one", "deep/two"), branches, strict=True):
                write(box.work / directory, {"b.txt": text})
                pull = await box.client.pull(BOX, str(top), directory=directory)
                assert (pull.branch, pull.other_directories) == (branch, ())

        pull = await box.client.pull(BOX, str(top))

    assert (pull.branch, pull.other_directories) == (branches[1], ("/sandbox/one",))
    assert git(top, "show", "sandbox/box:a.txt") == "one"
    assert git(top, "show", "sandbox/box.deep-two:a.txt") == "deep/two"


async def test_directories_with_similar_names_have_a_branch_each(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        branches: dict[str, str] = {}
        for directory in ("one", "x.y", "x-y"):
            await box.client.push(BOX, str(top), directory=directory)
            write(box.work / directory, {"a.txt": f"{directory}\n"})
        for directory in ("one", "x.y", "x-y"):
            pull = await box.client.pull(BOX, str(top), directory=directory)
            branches[pull.branch] = git(top, "show", f"{pull.branch}:a.txt")

    assert [*branches.values()] == ["one", "x.y", "x-y"]


async def test_a_sandbox_that_was_made_again(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    async with ready_sandbox(tmp_path / "sandboxes", as_deployed=False) as box:
        await box.client.push(BOX, str(top))
        write(box.work / "project", {"a.txt": "y\n"})
        await box.client.pull(BOX, str(top))
        await box.client.delete(BOX)
        await box.client.create(BOX)
        with pytest.raises(
            RepositoryRefused, match="has no repository at /sandbox/project"
        ) as gone:
            await box.client.pull(BOX, str(top))
        assert gone.value.cause.startswith("the sandbox: it was made again")

        push = await box.client.push(BOX, str(top))

        assert (push.plan.is_needed, push.plan.amount.files) == (True, 1)


async def test_a_missing_program_is_told_before_anything_goes(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "x\n"})
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        with pytest.raises(RepositoryRefused, match="has no program 'no-such-agent'"):
            await box.client.push(BOX, str(top), program="no-such-agent")
        assert not (box.work / "project").exists()
        assert (await box.client.push(BOX, str(top), program="git")).plan.is_needed


texts = st.sampled_from(["", "x\n", "x\r\n", "y", "\0", "one\ntwo\n"])
edits = st.dictionaries(
    st.sampled_from(
        ["a", "b.txt", "c d", "caf\u00e9", "dir/x", "dir/y/z", "-n", "'q\"", ":(top)*"]
    ),
    texts,
    max_size=4,
)


@given(edits, edits, edits, st.booleans())
@settings(
    some_examples, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_any_edits_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    committed: dict[str, str | bytes],
    left: dict[str, str | bytes],
    remote: dict[str, str | bytes],
    is_committed_there: bool,
) -> None:
    at = tmp_path_factory.mktemp("any")
    top = make_repository(at / "person" / "project", {"first": "x\n", **committed})
    write(top, left)
    async with ready_sandbox(at / "sandboxes") as box:
        before = fingerprint(top)
        await box.client.push(BOX, str(top))
        assert fingerprint(top) == before
        there = box.work / "project"
        assert tree_of_directory(there) == tree_of_directory(top)
        write(there, remote)
        wanted = tree_of_directory(there)
        if is_committed_there:
            git(there, "add", "-A")
            git(there, "commit", "-qm", "Work", "--allow-empty")
        pull = await box.client.pull(BOX, str(top))

    after = fingerprint(top)
    assert {each for each in before if after.get(each) != before[each]} == set()
    tree = git(top, "rev-parse", f"{BRANCH}^{{tree}}") if pull.has_work else tree_of_directory(top)
    assert tree == wanted


def random_bytes(size: int) -> bytes:
    """Return bytes that no compression makes shorter, the same each time."""
    return random.Random(0).randbytes(size)  # noqa: S311  # no secret
