"""Requests at the same time: each round in another order, which its seed replays."""

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox_contract.clause import Level, clause
from sandbox_contract.clauses.stateful.linearizability import Step, found_deleted, require_legal
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.paths import own_key_path
from sandbox_contract.harness.readiness import Phase, describe, phase_of
from sandbox_contract.harness.run import Run
from sandbox_contract.harness.sandboxes import QUOTA
from sandbox_contract.http.expect import Reply, require
from sandbox_contract.target import Need

from .messages import REVOKED
from .quota import AT_ONCE, Rush, full_house, rush

_MANY, _FEW = 12, 2  # rounds: where they cost nothing, and where each takes a sandbox


def _rounds(run: Run, *, few: int = _FEW) -> Iterator[int]:
    """Yield the seed of each round."""
    count = _MANY if run.target.app is not None else few
    yield from (run.seed * 1000 + number for number in range(count))


def _created(is_there: bool) -> tuple[int, bool]:
    return (409, True) if is_there else (201, True)


def _deleted(is_there: bool) -> tuple[int, bool]:
    return (200, False) if is_there else (403, False)


CREATE, DELETE = Step("create", _created), Step("delete", _deleted)


def _expect_none_but(replies: list[Reply], *statuses: int) -> None:
    for reply in replies:
        reply.expect(*statuses)


# One name ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Round:
    """The answers of one round, and the sandboxes after it."""

    seed: int
    name: str
    replies: list[Reply]
    names: list[str]

    @property
    def statuses(self) -> list[int]:
        return [reply.status for reply in self.replies]


async def _creates(run: Run) -> list[_Round]:
    alice, rounds = await run.actors.alice(), list[_Round]()
    for seed in _rounds(run):
        box = await run.sandboxes.unused(alice, "race")
        replies = await run.client.race(seed, *(box.create() for _ in range(AT_ONCE)))
        rounds.append(_Round(seed, box.name, replies, await alice.names()))
        await box.delete()
    return rounds


async def _deletes(run: Run) -> list[_Round]:
    alice, rounds = await run.actors.alice(), list[_Round]()
    for seed in _rounds(run):
        box = await run.sandboxes.new(alice, "race")
        replies = await run.client.race(seed, *(box.delete() for _ in range(AT_ONCE)))
        rounds.append(_Round(seed, box.name, replies, await alice.names()))
    return rounds


def _require_one(each: _Round, status: int) -> None:
    won = each.statuses.count(status)
    require(won == 1, f"one {status} (interleaving {each.seed})", each.statuses)


@clause(
    "races.create.one",
    "Of concurrent creates of one name, exactly one is 201.",
    source="concurrent-creates",
    needs=Need.USER,
)
async def one_create_wins(run: Run) -> None:
    for each in await run.once(_creates):
        require_legal(False, [CREATE] * AT_ONCE, each.replies, each.seed)
        _require_one(each, 201)
        require(each.names.count(each.name) == 1, f"{each.name}, listed once", each.names)


@clause(
    "races.create.others",
    "Of concurrent creates of one name, all but one are 409.",
    source="losers-of-a-create",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def other_creates_are_told(run: Run) -> None:
    for each in await run.once(_creates):
        _expect_none_but(each.replies, 201, 409)


@clause(
    "races.create.different",
    "Concurrent creates of different names are all 201, and all the sandboxes exist.",
    source="concurrent-creates",
    needs=Need.USER,
)
async def creates_of_different_names_all_win(run: Run) -> None:
    alice = await run.actors.alice()
    for seed in _rounds(run, few=1):
        boxes = [await run.sandboxes.unused(alice, "race") for _ in range(2)]
        replies = await run.client.race(seed, *(box.create() for box in boxes))
        _expect_none_but(replies, 201)
        names = await alice.names()
        missing = [box.name for box in boxes if box.name not in names]
        require(not missing, f"all of them listed (interleaving {seed})", f"not {missing}")
        await run.end_clause()  # two at a time


@clause(
    "races.delete.one",
    "Of concurrent deletes, exactly one is 200.",
    source="concurrent-deletes",
    needs=Need.USER,
)
async def one_delete_wins(run: Run) -> None:
    for each in await run.once(_deletes):
        require_legal(True, [DELETE] * AT_ONCE, each.replies, each.seed)
        _require_one(each, 200)
        require(each.name not in each.names, f"a list without {each.name}", each.names)


@clause(
    "races.delete.others",
    "Of concurrent deletes, all but one are 403.",
    source="losers-of-a-delete",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def other_deletes_are_told(run: Run) -> None:
    for each in await run.once(_deletes):
        _expect_none_but(each.replies, 200, 403)


@clause(
    "races.create-delete.legal",
    "Concurrent creates and deletes get the responses of some sequential order.",
    source="any-order",
    needs=Need.USER,
)
async def create_against_delete(run: Run) -> None:
    for seed in _rounds(run, few=1):
        box = await run.sandboxes.unused(await run.actors.alice(), "race")
        steps = [CREATE, DELETE, CREATE, DELETE]
        replies = await run.client.race(
            seed, box.create(), box.delete(), box.create(), box.delete()
        )
        ends = require_legal(False, steps, replies, seed)
        is_there = (await box.get()).expect(200, 403).status == 200
        require(is_there in ends, f"a sandbox as some order leaves it: {ends}", is_there)
        await box.delete()


@clause(
    "races.quota.held",
    "Concurrent creates do not exceed the quota.",
    source="concurrent-creates",
    needs=Need.USER,
)
async def the_quota_holds(run: Run) -> None:
    _require_room_for_one((await run.once(full_house)).rush)
    if run.target.app is not None:
        for seed in _rounds(run):
            _require_room_for_one(await rush(run, seed, await run.actors.temporary_user("tenant")))
            await run.end_clause()  # a full house at a time


def _require_room_for_one(asked: Rush) -> None:
    won = [reply.status for reply in asked.replies].count(201)
    require(won == 1, f"one 201 (interleaving {asked.seed})", f"{won} of them")
    require(
        len(asked.names) == QUOTA, f"{QUOTA} sandboxes (interleaving {asked.seed})", asked.names
    )


# Pause and resume -------------------------------------------------------------------------------


async def _scaled(run: Run, seed: int, box: SandboxHandle) -> list[Reply]:
    return await run.client.race(seed, box.pause(), box.resume(), box.pause(), box.resume())


@clause(
    "races.scale.no-fault",
    "Concurrent pauses and resumes are never 5xx.",
    source="pause-against-resume",
    needs=(Need.USER, Need.WAITING),
    level=Level.SHOULD,
)
async def pause_against_resume_is_no_fault(run: Run) -> None:
    box = await run.sandboxes.ready()
    for seed in _rounds(run):
        for reply in await _scaled(run, seed, box):
            require(reply.status < 500, f"no 5xx (interleaving {seed})", reply, reply)


@clause(
    "races.scale.legal",
    "After concurrent pauses and resumes, a sandbox becomes ready or paused.",
    source="pause-against-resume",
    needs=(Need.USER, Need.WAITING),
)
async def pause_against_resume_ends_as_one_of_them(run: Run) -> None:
    box = await run.sandboxes.ready()
    for seed in _rounds(run, few=1):
        replies = await _scaled(run, seed, box)
        for reply in replies:
            require(reply.status == 200 or reply.status >= 500, "200", reply, reply)
        await _settled(run, box)


async def _settled(run: Run, box: SandboxHandle) -> None:
    """Expect that a sandbox comes to rest, ready or paused."""

    async def look() -> bool | None:
        status = await box.status()
        said.append(describe(status))
        rests = phase_of(status) in {Phase.READY, Phase.PAUSED}
        return True if rests and said.count(said[-1]) > 1 else None

    said: list[str] = []
    await run.clock.until(f"{box.name} to be ready or paused", look, last=lambda: said[-1])


# Others -----------------------------------------------------------------------------------------


@clause(
    "races.exec-delete.legal",
    "A concurrent exec and delete get the responses of some sequential order.",
    source="any-order",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def exec_against_delete(run: Run) -> None:
    for seed in _rounds(run, few=1):
        box = await run.sandboxes.new(tag="race")
        await run.clock.until_phase(box, Phase.READY)
        replies = await run.client.race(seed, box.exec("echo ran"), box.delete())
        ran, deleted = replies
        deleted.expect(200)
        # Before: it ran. After: it is hidden. In between: it was cut off, which is no 2xx.
        if ran.status < 300:
            data = ran.expect_fields(success=True)["data"]
            says = f"{data['status']}: {data['output'].strip()}"
            require(says == "completed: ran", "the output of a command that ran", says, ran)
        elif ran.status < 500 and not found_deleted(ran):
            ran.expect(403)
        (await box.get()).expect(403)
        (await box.exec("echo ran")).expect(403)


@clause(
    "races.revoke-use.legal",
    "A concurrent revocation and uses of a key get the responses of some sequential order.",
    source="any-order",
    needs=Need.USER,
)
async def revoke_against_use(run: Run) -> None:
    alice = await run.actors.alice()
    for seed in _rounds(run, few=_MANY):
        key = await run.actors.make_own_key(alice)
        caller = alice.saying(key.secret)
        _, *used = await run.client.race(
            seed,
            alice.call("DELETE", own_key_path(key.id)),
            *(caller("GET", "/api/me") for _ in range(AT_ONCE)),
        )
        _expect_none_but(used, 200, 401)
        (await caller("GET", "/api/me")).expect_refusal(401, REVOKED)
