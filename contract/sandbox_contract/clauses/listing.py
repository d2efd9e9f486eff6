"""Listing and ownership: users see all of their own sandboxes, and nothing of other users'."""

from sandbox_contract.clause import clause
from sandbox_contract.harness.api import COUNT, NO_ACCESS, SANDBOXES, TEXT, TIMESTAMP
from sandbox_contract.harness.readiness import Phase
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Json, Reply, require, same
from sandbox_contract.target import Need

from .lifetime import is_from_warm_pool, observe_lifetime
from .routes import expect_no_effect, expect_refused_on_each, sandbox_routes

_LISTED = ("name", "namespace", "serviceFQDN", "service", "ready", "createdAt")


def _row(reply: Reply, name: str) -> Json:
    rows = [each for each in reply.expect_fields()["sandboxes"] if each.get("name") == name]
    require(len(rows) == 1, f"one row of {name}", rows, reply)
    return rows[0]


@clause(
    "sandboxes.list.reply",
    "A user's sandboxes are listed with their promised fields.",
    source="list-sandboxes",
    needs=Need.USER,
)
async def sandboxes_are_listed(run: Run) -> None:
    seen = await run.once(observe_lifetime)
    row = _row(seen.listing, seen.box.name)
    expected = {"namespace": f"user-{seen.box.owner.username}", "createdAt": TIMESTAMP}
    expected |= {"service": TEXT, "serviceFQDN": TEXT}
    actual = {field: row.get(field) for field in expected}
    require(actual == expected, f"a row that says {expected}", row, seen.listing)
    require(isinstance(row.get("ready"), bool), "ready true or false", row, seen.listing)


@clause(
    "sandboxes.list.count",
    "The list of sandboxes includes their count, and paused sandboxes count.",
    source="list-sandboxes",
    needs=(Need.USER, Need.WAITING),
)
async def sandboxes_are_counted(run: Run) -> None:
    seen, box = await run.once(observe_lifetime), await run.sandboxes.ready()
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    with_one_paused = await box.owner.call("GET", SANDBOXES)
    _row(with_one_paused, box.name)
    for reply in (seen.listing, seen.listing_after_delete, with_one_paused):
        boxes = reply.expect_fields(count=COUNT)["sandboxes"]
        reply.expect_fields(count=len(boxes))


@clause(
    "sandboxes.list.newest-first",
    "A user's sandboxes are listed newest first.",
    source="list-sandboxes",
    needs=(Need.USER, Need.WAITING),
)
async def sandboxes_are_listed_newest_first(run: Run) -> None:
    shared = await run.sandboxes.ready()
    created = [shared.name, (await run.sandboxes.new()).name]
    await run.clock.advance(0.001)
    created.append((await run.sandboxes.new()).name)
    await shared.pause()
    order = created[::-1]
    shown = [name for name in await (await run.actors.alice()).names() if name in order]
    require(shown == order, f"{order}, in this order", shown)


@clause(
    "sandboxes.list.own",
    "Another user's sandbox is not listed.",
    source="list-sandboxes",
    needs=Need.SECOND_USER,
)
async def only_own_sandboxes_are_listed(run: Run) -> None:
    hidden = await run.sandboxes.of_bob()
    names = await (await run.actors.alice()).names()
    require(hidden.name not in names, "a list without another user's sandbox", names)


@clause(
    "sandboxes.list.brief",
    "The list contains neither replicas nor a reason.",
    source="list-sandboxes",
    needs=Need.USER,
)
async def the_list_omits_replicas_and_reasons(run: Run) -> None:
    seen = await run.once(observe_lifetime)
    row = _row(seen.listing, seen.box.name)
    extra = sorted({"replicas", "readyReason", "readyMessage"} & row.keys())
    require(not extra, "neither replicas nor a reason", extra, seen.listing)


@clause(
    "sandboxes.list.agrees",
    "The list shows the same values of a sandbox as GET of that sandbox.",
    source="list-sandboxes",
    needs=(Need.USER, Need.WAITING),
)
async def the_list_agrees_with_get(run: Run) -> None:
    alice = await run.actors.alice()
    seen, box = await run.once(observe_lifetime), await run.sandboxes.ready()
    row = _row(seen.listing, seen.box.name)
    if not is_from_warm_pool(run, is_ready=row["ready"] is True):
        require(row["ready"] is False, "a row that is not ready", row, seen.listing)
    agreed = 0
    for change in (box.get, box.pause, box.resume):
        await change()
        shown = await box.get()
        reply = await alice.call("GET", SANDBOXES)
        if same((await box.get()).fields(), shown.fields()):  # the status did not change meanwhile
            _require_agreement(_row(reply, box.name), shown.fields(), reply)
            agreed += 1
    require(agreed, "a sandbox that says the same twice", "another status each time")


def _require_agreement(row: Json, status: Json, reply: Reply) -> None:
    expected = {field: status.get(field) for field in _LISTED}
    actual = {field: row.get(field) for field in _LISTED}
    require(actual == expected, f"a row that says {expected}", actual, reply)


@clause(
    "sandboxes.get.reply",
    "A sandbox is shown with its status.",
    source="show-a-sandbox",
    needs=Need.USER,
)
async def a_sandbox_is_shown(run: Run) -> None:
    seen = await run.once(observe_lifetime)
    fields = {"namespace": f"user-{seen.box.owner.username}", "createdAt": TIMESTAMP}
    fields |= {"service": TEXT, "serviceFQDN": TEXT, "replicas": COUNT}
    body = seen.first_get.expect_fields(name=seen.box.name, **fields)
    require(isinstance(body["ready"], bool), "ready true or false", body, seen.first_get)


@clause(
    "sandboxes.get.service",
    "The service has the sandbox's name, and its address also contains the namespace.",
    source="show-a-sandbox",
    needs=(Need.USER, Need.WAITING),
)
async def the_service_is_shown(run: Run) -> None:
    box = await run.sandboxes.ready()
    namespace = f"user-{box.owner.username}"
    address = f"{box.name}.{namespace}.svc.cluster.local"
    (await box.get()).expect_fields(service=box.name, serviceFQDN=address, namespace=namespace)


@clause(
    "sandboxes.ownership.missing",
    "A sandbox that does not exist is 403 on every sandbox route.",
    source="ownership",
    needs=Need.USER,
)
async def missing_sandboxes_are_refused(run: Run) -> None:
    alice = await run.actors.alice()
    for name in (run.name("missing"), "UPPER", "x" * 70, "a%2Fb", "%2e%2e"):
        await expect_refused_on_each(sandbox_routes(name), alice.call, 403, NO_ACCESS)


@clause(
    "sandboxes.ownership.hidden",
    "Another user's sandbox gets the same responses as one that does not exist.",
    source="ownership",
    needs=Need.SECOND_USER,
)
async def another_users_sandbox_is_hidden(run: Run) -> None:
    hidden = await run.sandboxes.of_bob()
    alice, missing = await run.actors.alice(), run.name("missing")
    for hidden_route, missing_route in zip(
        sandbox_routes(hidden.name), sandbox_routes(missing), strict=True
    ):
        reply = await hidden_route.send(alice.call)
        reply.expect_refusal(403, NO_ACCESS)
        reply.expect_like(await missing_route.send(alice.call))


@clause(
    "sandboxes.ownership.untouched",
    "Another user's refused requests leave the sandbox unchanged.",
    source="ownership",
    needs=(Need.SECOND_USER, Need.WAITING, Need.RUNTIME),
)
async def another_users_requests_have_no_effect(run: Run) -> None:
    hidden, alice = await run.sandboxes.of_bob(), await run.actors.alice()
    await run.sandboxes.until_ready(hidden)
    await expect_no_effect(run, hidden, [alice.call])
