"""At most ten sandboxes a user: one full house, judged clause by clause."""

from dataclasses import dataclass

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.actors import SandboxHandle, User
from sandbox_contract.harness.readiness import Phase
from sandbox_contract.harness.run import Run
from sandbox_contract.harness.sandboxes import QUOTA
from sandbox_contract.http.expect import Reply, require
from sandbox_contract.target import Need, Unsupported

AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Rush:
    """The answers while a quota was filled, and when several requests raced for its last place."""

    seed: int
    boxes: list[SandboxHandle]
    filling: list[Reply]
    replies: list[Reply]
    names: list[str]


@dataclass(frozen=True, slots=True)
class FullHouse:
    """The answers when one user's quota was full."""

    rush: Rush
    eleventh: Reply
    duplicate: Reply
    with_one_paused: Reply
    of_another_user: Reply | None
    names: list[str]
    after_a_deletion: Reply


async def _tenant(run: Run) -> User:
    """Return the user whose quota is filled: one of the clause's own where that is possible."""
    return await run.actors.temporary_user() if run.target.admin_key else await run.actors.alice()


async def rush(run: Run, seed: int, tenant: User) -> Rush:
    """Fill a house to its last place, and have several ask for that at once."""
    boxes = [await run.sandboxes.unused(tenant, "quota")]
    room = QUOTA - len(await tenant.names())
    boxes += [run.sandboxes.handle(tenant, "quota") for _ in range(room - 2 + AT_ONCE)]
    kept = boxes[: room - 1]
    filling = [await box.create() for box in kept]
    replies = await run.client.race(seed, *(box.create() for box in boxes[room - 1 :]))
    return Rush(seed, boxes, filling, replies, await tenant.names())


async def full_house(run: Run) -> FullHouse:
    """Fill one user's quota, and send more requests."""
    tenant = await _tenant(run)
    rushed = await rush(run, run.seed, tenant)
    eleventh = await run.sandboxes.handle(tenant, "quota").create()
    first = next((box for box in rushed.boxes if box.name in rushed.names), rushed.boxes[0])
    await first.pause()
    await run.clock.until_phase(first, Phase.PAUSED)
    return FullHouse(
        rush=rushed,
        eleventh=eleventh,
        duplicate=await first.create(),
        with_one_paused=await run.sandboxes.handle(tenant, "quota").create(),
        of_another_user=await _elsewhere(run),
        names=await tenant.names(),
        after_a_deletion=await _in_place_of(run, first),
    )


async def _elsewhere(run: Run) -> Reply | None:
    try:
        return await (await run.sandboxes.unused(await run.actors.bob(), "quota")).create()
    except Unsupported:
        return None


async def _in_place_of(run: Run, box: SandboxHandle) -> Reply:
    await box.delete()
    return await run.sandboxes.handle(box.owner, "quota").create()


@clause(
    "sandboxes.quota.room",
    "A user can have 10 sandboxes.",
    source="quota",
    needs=Need.USER,
)
async def ten_sandboxes_fit(run: Run) -> None:
    seen = await run.once(full_house)
    for reply in seen.rush.filling:
        reply.expect(201)
    last = [reply.status for reply in seen.rush.replies]
    require(201 in last, "201 for one of those who asked for the last place", last)


def _require_refused(reply: Reply) -> None:
    require(reply.status >= 400, "a refusal", reply, reply)


@clause(
    "sandboxes.quota.held",
    "No user gets an 11th sandbox.",
    source="quota",
    needs=Need.USER,
)
async def an_eleventh_does_not_fit(run: Run) -> None:
    seen = await run.once(full_house)
    _require_refused(seen.eleventh)
    require(len(seen.names) <= QUOTA, f"{QUOTA} sandboxes at most", seen.names)


@clause(
    "sandboxes.quota.paused",
    "A paused sandbox counts toward the quota.",
    source="quota",
    needs=Need.USER,
)
async def a_paused_one_counts(run: Run) -> None:
    _require_refused((await run.once(full_house)).with_one_paused)


@clause(
    "sandboxes.quota.duplicate",
    "When the quota is full, a name that is taken is still 409.",
    source="quota",
    needs=Need.USER,
)
async def a_taken_name_comes_first(run: Run) -> None:
    (await run.once(full_house)).duplicate.expect_refusal(409)


@clause(
    "sandboxes.quota.freed",
    "Deleting a sandbox frees a place in the quota.",
    source="quota",
    needs=Need.USER,
)
async def a_deletion_makes_room(run: Run) -> None:
    (await run.once(full_house)).after_a_deletion.expect(201)


@clause(
    "sandboxes.quota.per-user",
    "One user's full quota does not limit another user.",
    source="quota",
    needs=Need.SECOND_USER,
)
async def another_user_has_room(run: Run) -> None:
    reply = (await run.once(full_house)).of_another_user
    if reply is None:
        raise Unsupported(reason="room for a sandbox of the second user")
    reply.expect(201)


@clause(
    "sandboxes.quota.reply",
    "The 11th sandbox is 403, and the message says the quota.",
    source="quota-reached",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def an_eleventh_is_told_the_quota(run: Run) -> None:
    reply = (await run.once(full_house)).eleventh
    reply.expect_refusal(403)
    said = str(reply.fields()["message"])
    is_told = "quota" in said.lower() and str(QUOTA) in said
    require(is_told, f"a message that says the quota of {QUOTA}", said, reply)
