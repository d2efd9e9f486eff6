"""The quota of ten sandboxes per user: it is filled once, for all clauses."""

from dataclasses import dataclass

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.actors import SandboxHandle, User
from sandbox_contract.harness.readiness import Phase
from sandbox_contract.harness.run import Run
from sandbox_contract.harness.sandboxes import QUOTA
from sandbox_contract.http.expect import Reply, require
from sandbox_contract.target import Need, Unsupported

AT_ONCE = 4  # concurrent requests


@dataclass(frozen=True, slots=True)
class LastPlaceRace:
    """The responses while a quota was filled, the last place by concurrent requests."""

    seed: int
    boxes: list[SandboxHandle]
    filling: list[Reply]
    replies: list[Reply]
    names: list[str]


@dataclass(frozen=True, slots=True)
class FullQuota:
    """The responses after one user's quota was full."""

    race: LastPlaceRace
    eleventh: Reply
    duplicate: Reply
    with_one_paused: Reply
    for_second_user: Reply | None
    names: list[str]
    after_delete: Reply


async def _quota_user(run: Run) -> User:
    """Return the user for the quota clauses: a temporary one if the admin key is known."""
    return await run.actors.temporary_user() if run.target.admin_key else await run.actors.alice()


async def race_for_last_place(run: Run, seed: int, user: User) -> LastPlaceRace:
    """Fill a quota up to its last place, then request that place concurrently."""
    boxes = [await run.sandboxes.unused(user, "quota")]
    free = QUOTA - len(await user.names())
    boxes += [run.sandboxes.handle(user, "quota") for _ in range(free - 2 + AT_ONCE)]
    sequential_boxes = boxes[: free - 1]
    filling = [await box.create() for box in sequential_boxes]
    replies = await run.client.race(seed, *(box.create() for box in boxes[free - 1 :]))
    return LastPlaceRace(seed, boxes, filling, replies, await user.names())


async def fill_quota(run: Run) -> FullQuota:
    """Fill one user's quota, and record the responses to further requests."""
    user = await _quota_user(run)
    race = await race_for_last_place(run, run.seed, user)
    eleventh = await run.sandboxes.handle(user, "quota").create()
    first = next((box for box in race.boxes if box.name in race.names), race.boxes[0])
    await first.pause()
    await run.clock.until_phase(first, Phase.PAUSED)
    return FullQuota(
        race=race,
        eleventh=eleventh,
        duplicate=await first.create(),
        with_one_paused=await run.sandboxes.handle(user, "quota").create(),
        for_second_user=await _create_for_second_user(run),
        names=await user.names(),
        after_delete=await _replace(run, first),
    )


async def _create_for_second_user(run: Run) -> Reply | None:
    try:
        return await (await run.sandboxes.unused(await run.actors.bob(), "quota")).create()
    except Unsupported:
        return None


async def _replace(run: Run, box: SandboxHandle) -> Reply:
    await box.delete()
    return await run.sandboxes.handle(box.owner, "quota").create()


@clause(
    "sandboxes.quota.room",
    "A user can have 10 sandboxes.",
    source="quota",
    needs=Need.USER,
)
async def ten_sandboxes_are_allowed(run: Run) -> None:
    seen = await run.once(fill_quota)
    for reply in seen.race.filling:
        reply.expect(201)
    last = [reply.status for reply in seen.race.replies]
    require(201 in last, "201 for one of the requests for the last place", last)


def _require_refused(reply: Reply) -> None:
    require(reply.status >= 400, "a refusal", reply, reply)


@clause(
    "sandboxes.quota.held",
    "No user gets an 11th sandbox.",
    source="quota",
    needs=Need.USER,
)
async def an_eleventh_sandbox_is_refused(run: Run) -> None:
    seen = await run.once(fill_quota)
    _require_refused(seen.eleventh)
    require(len(seen.names) <= QUOTA, f"{QUOTA} sandboxes at most", seen.names)


@clause(
    "sandboxes.quota.paused",
    "A paused sandbox counts toward the quota.",
    source="quota",
    needs=Need.USER,
)
async def a_paused_sandbox_counts(run: Run) -> None:
    _require_refused((await run.once(fill_quota)).with_one_paused)


@clause(
    "sandboxes.quota.duplicate",
    "When the quota is full, a name that is taken is still 409.",
    source="quota",
    needs=Need.USER,
)
async def a_taken_name_is_reported_first(run: Run) -> None:
    (await run.once(fill_quota)).duplicate.expect_refusal(409)


@clause(
    "sandboxes.quota.freed",
    "Deleting a sandbox frees a place in the quota.",
    source="quota",
    needs=Need.USER,
)
async def a_delete_frees_a_place(run: Run) -> None:
    (await run.once(fill_quota)).after_delete.expect(201)


@clause(
    "sandboxes.quota.per-user",
    "One user's full quota does not limit another user.",
    source="quota",
    needs=Need.SECOND_USER,
)
async def the_quota_is_per_user(run: Run) -> None:
    reply = (await run.once(fill_quota)).for_second_user
    if reply is None:
        raise Unsupported(reason="room for a sandbox of the second user")
    reply.expect(201)


@clause(
    "sandboxes.quota.reply",
    "The 11th sandbox is 403, and the message names the quota of 10.",
    source="quota-reached",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def the_refusal_names_the_quota(run: Run) -> None:
    reply = (await run.once(fill_quota)).eleventh
    reply.expect_refusal(403)
    message = str(reply.fields()["message"])
    names_quota = "quota" in message.lower() and str(QUOTA) in message
    require(names_quota, f"a message that names the quota of {QUOTA}", message, reply)
