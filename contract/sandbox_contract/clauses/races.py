"""Concurrent requests, in several interleavings, each of which its seed replays."""

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox_contract.clause import Level, clause
from sandbox_contract.clauses.stateful.linearizability import (
    Step,
    require_linearizable,
    was_deleted_meanwhile,
)
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import REVOKED, own_key_path
from sandbox_contract.harness.readiness import Phase, describe, phase_of
from sandbox_contract.harness.run import Run
from sandbox_contract.harness.sandboxes import QUOTA
from sandbox_contract.http.expect import Reply, require
from sandbox_contract.target import Need

from .quota import AT_ONCE, LastPlaceRace, fill_quota, race_for_last_place

_ROUNDS_IN_PROCESS = 12  # which cost nothing
_ROUNDS = 2  # where each round takes a sandbox


def _rounds(run: Run, *, remote_rounds: int = _ROUNDS) -> Iterator[int]:
    """Yield the seed of each round."""
    count = _ROUNDS_IN_PROCESS if run.target.app is not None else remote_rounds
    yield from (run.seed * 1000 + number for number in range(count))


def _apply_create(exists: bool) -> tuple[int, bool]:
    return (409, True) if exists else (201, True)


def _apply_delete(exists: bool) -> tuple[int, bool]:
    return (200, False) if exists else (403, False)


CREATE, DELETE = Step("create", _apply_create), Step("delete", _apply_delete)


def _expect_statuses(replies: list[Reply], *statuses: int) -> None:
    for reply in replies:
        reply.expect(*statuses)


# One name ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Round:
    """The responses of one round, and the names of the sandboxes after it."""

    seed: int
    name: str
    replies: list[Reply]
    names: list[str]

    @property
    def statuses(self) -> list[int]:
        return [reply.status for reply in self.replies]


async def _race_creates(run: Run) -> list[_Round]:
    alice, rounds = await run.actors.alice(), list[_Round]()
    for seed in _rounds(run):
        box = await run.sandboxes.unused(alice, "race")
        replies = await run.client.race(seed, *(box.create() for _ in range(AT_ONCE)))
        rounds.append(_Round(seed, box.name, replies, await alice.names()))
        await box.delete()
    return rounds


async def _race_deletes(run: Run) -> list[_Round]:
    alice, rounds = await run.actors.alice(), list[_Round]()
    for seed in _rounds(run):
        box = await run.sandboxes.new(alice, "race")
        replies = await run.client.race(seed, *(box.delete() for _ in range(AT_ONCE)))
        rounds.append(_Round(seed, box.name, replies, await alice.names()))
    return rounds


def _require_one_winner(race: _Round, status: int) -> None:
    winners = race.statuses.count(status)
    require(winners == 1, f"one {status} (interleaving {race.seed})", race.statuses)


@clause(
    "races.create.one",
    "Of concurrent creates of one name, exactly one is 201.",
    source="concurrent-creates",
    needs=Need.USER,
)
async def one_create_wins(run: Run) -> None:
    for race in await run.once(_race_creates):
        require_linearizable(False, [CREATE] * AT_ONCE, race.replies, race.seed)
        _require_one_winner(race, 201)
        require(race.names.count(race.name) == 1, f"{race.name}, listed once", race.names)


@clause(
    "races.create.others",
    "Of concurrent creates of one name, all but one are 409.",
    source="losers-of-a-create",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def other_creates_are_conflicts(run: Run) -> None:
    for race in await run.once(_race_creates):
        _expect_statuses(race.replies, 201, 409)


@clause(
    "races.create.different",
    "Concurrent creates of different names are all 201, and all the sandboxes exist.",
    source="concurrent-creates",
    needs=Need.USER,
)
async def creates_of_different_names_succeed(run: Run) -> None:
    alice = await run.actors.alice()
    for seed in _rounds(run, remote_rounds=1):
        boxes = [await run.sandboxes.unused(alice, "race") for _ in range(2)]
        replies = await run.client.race(seed, *(box.create() for box in boxes))
        _expect_statuses(replies, 201)
        names = await alice.names()
        missing = [box.name for box in boxes if box.name not in names]
        require(not missing, f"all of them listed (interleaving {seed})", f"not {missing}")
        await run.end_clause()  # two sandboxes at a time


@clause(
    "races.delete.one",
    "Of concurrent deletes, exactly one is 200.",
    source="concurrent-deletes",
    needs=Need.USER,
)
async def one_delete_wins(run: Run) -> None:
    for race in await run.once(_race_deletes):
        require_linearizable(True, [DELETE] * AT_ONCE, race.replies, race.seed)
        _require_one_winner(race, 200)
        require(race.name not in race.names, f"a list without {race.name}", race.names)


@clause(
    "races.delete.others",
    "Of concurrent deletes, all but one are 403.",
    source="losers-of-a-delete",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def other_deletes_are_refused(run: Run) -> None:
    for race in await run.once(_race_deletes):
        _expect_statuses(race.replies, 200, 403)


@clause(
    "races.create-delete.legal",
    "Concurrent creates and deletes get the responses of some sequential order.",
    source="any-order",
    needs=Need.USER,
)
async def creates_and_deletes_are_linearizable(run: Run) -> None:
    for seed in _rounds(run, remote_rounds=1):
        box = await run.sandboxes.unused(await run.actors.alice(), "race")
        steps = [CREATE, DELETE, CREATE, DELETE]
        replies = await run.client.race(
            seed, box.create(), box.delete(), box.create(), box.delete()
        )
        final_states = require_linearizable(False, steps, replies, seed)
        exists = (await box.get()).expect(200, 403).status == 200
        require(
            exists in final_states, f"a sandbox as some order leaves it: {final_states}", exists
        )
        await box.delete()


@clause(
    "races.quota.held",
    "Concurrent creates for the last place in the quota fill it, and do not exceed it.",
    source="concurrent-creates",
    needs=Need.USER,
)
async def concurrent_creates_respect_the_quota(run: Run) -> None:
    _require_room_for_one((await run.once(fill_quota)).race)
    if run.target.app is not None:
        for seed in _rounds(run):
            _require_room_for_one(
                await race_for_last_place(run, seed, await run.actors.temporary_user("tenant"))
            )
            await run.end_clause()  # one full quota at a time


def _require_room_for_one(last_place: LastPlaceRace) -> None:
    winners = [reply.status for reply in last_place.replies].count(201)
    require(winners == 1, f"one 201 (interleaving {last_place.seed})", f"{winners} of them")
    require(
        len(last_place.names) == QUOTA,
        f"{QUOTA} sandboxes (interleaving {last_place.seed})",
        last_place.names,
    )


# Pause and resume -------------------------------------------------------------------------------


async def _race_pause_and_resume(run: Run, seed: int, box: SandboxHandle) -> list[Reply]:
    return await run.client.race(seed, box.pause(), box.resume(), box.pause(), box.resume())


@clause(
    "races.scale.no-fault",
    "Concurrent pauses and resumes are never 5xx.",
    source="pause-against-resume",
    needs=(Need.USER, Need.WAITING),
    level=Level.SHOULD,
)
async def pauses_and_resumes_are_no_server_error(run: Run) -> None:
    box = await run.sandboxes.ready()
    for seed in _rounds(run):
        for reply in await _race_pause_and_resume(run, seed, box):
            require(reply.status < 500, f"no 5xx (interleaving {seed})", reply, reply)


@clause(
    "races.scale.legal",
    "After concurrent pauses and resumes, a sandbox becomes ready or paused.",
    source="pause-against-resume",
    needs=(Need.USER, Need.WAITING),
)
async def pauses_and_resumes_settle(run: Run) -> None:
    box = await run.sandboxes.ready()
    for seed in _rounds(run, remote_rounds=1):
        replies = await _race_pause_and_resume(run, seed, box)
        for reply in replies:
            require(reply.status == 200 or reply.status >= 500, "200", reply, reply)
        await _require_settled(run, box)


async def _require_settled(run: Run, box: SandboxHandle) -> None:
    """Require that a sandbox settles as ready or paused: the same status in two polls."""

    async def check() -> bool | None:
        status = await box.status()
        seen_statuses.append(describe(status))
        is_settled = phase_of(status) in {Phase.READY, Phase.PAUSED}
        return True if is_settled and seen_statuses.count(seen_statuses[-1]) > 1 else None

    seen_statuses: list[str] = []
    await run.clock.until(
        f"{box.name} to be ready or paused", check, last=lambda: seen_statuses[-1]
    )


# Others -----------------------------------------------------------------------------------------


@clause(
    "races.exec-delete.legal",
    "A concurrent exec and delete get the responses of some sequential order.",
    source="any-order",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def exec_and_delete_are_linearizable(run: Run) -> None:
    for seed in _rounds(run, remote_rounds=1):
        box = await run.sandboxes.new(tag="race")
        await run.clock.until_phase(box, Phase.READY)
        replies = await run.client.race(seed, box.exec("echo ran"), box.delete())
        executed, deleted = replies
        deleted.expect(200)
        # The command ran before the delete, came after it (403), or was cut off by it (not 2xx).
        if executed.status < 300:
            data = executed.expect_fields(success=True)["data"]
            result = f"{data['status']}: {data['output'].strip()}"
            require(
                result == "completed: ran", "the output of a command that ran", result, executed
            )
        elif executed.status < 500 and not was_deleted_meanwhile(executed):
            executed.expect(403)
        (await box.get()).expect(403)
        (await box.exec("echo ran")).expect(403)


@clause(
    "races.revoke-use.legal",
    "A concurrent revocation and uses of a key get the responses of some sequential order.",
    source="any-order",
    needs=Need.USER,
)
async def revocation_and_use_are_linearizable(run: Run) -> None:
    alice = await run.actors.alice()
    for seed in _rounds(run, remote_rounds=_ROUNDS_IN_PROCESS):
        key = await run.actors.make_own_key(alice)
        caller = alice.saying(key.secret)
        revoked, *uses = await run.client.race(
            seed,
            alice.call("DELETE", own_key_path(key.id)),
            *(caller("GET", "/api/me") for _ in range(AT_ONCE)),
        )
        revoked.expect_fields(success=True)
        for use in uses:
            if use.status != 200:
                use.expect_refusal(401, REVOKED)
        (await caller("GET", "/api/me")).expect_refusal(401, REVOKED)
