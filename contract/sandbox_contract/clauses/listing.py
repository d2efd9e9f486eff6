"""Sandboxes listed and shown."""

from sandbox_contract.clause import clause
from sandbox_contract.harness.paths import SANDBOXES
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Json, Reply, require, same
from sandbox_contract.target import Need

from .life import came_warm, life
from .messages import COUNT, TEXT, TIMESTAMP

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
    seen = await run.once(life)
    row = _row(seen.listed, seen.box.name)
    wanted = {"namespace": f"user-{seen.box.owner.username}", "createdAt": TIMESTAMP}
    wanted |= {"service": TEXT, "serviceFQDN": TEXT}
    said = {field: row.get(field) for field in wanted}
    require(said == wanted, f"a row that says {wanted}", row, seen.listed)
    require(isinstance(row.get("ready"), bool), "ready true or false", row, seen.listed)


@clause(
    "sandboxes.list.count",
    "The list of sandboxes includes their count, and paused sandboxes count.",
    source="list-sandboxes",
    needs=(Need.USER, Need.WAITING),
)
async def sandboxes_are_counted(run: Run) -> None:
    seen, box = await run.once(life), await run.sandboxes.ready()
    (await box.pause()).expect(200)
    with_one_paused = await box.owner.call("GET", SANDBOXES)
    for reply in (seen.listed, seen.listed_after, with_one_paused):
        boxes = reply.expect_fields(count=COUNT)["sandboxes"]
        reply.expect_fields(count=len(boxes))


@clause(
    "sandboxes.list.newest-first",
    "A user's sandboxes are listed newest first.",
    source="list-sandboxes",
    needs=(Need.USER, Need.WAITING),
)
async def sandboxes_are_listed_newest_first(run: Run) -> None:
    standing = await run.sandboxes.ready()
    made = [standing.name, (await run.sandboxes.new()).name]
    await run.clock.advance(0.001)
    made.append((await run.sandboxes.new()).name)
    await standing.pause()
    order = made[::-1]
    shown = [name for name in await (await run.actors.alice()).names() if name in order]
    require(shown == order, f"{order}, in this order", shown)


@clause(
    "sandboxes.list.own",
    "Another user's sandbox is not listed.",
    source="list-sandboxes",
    needs=Need.SECOND_USER,
)
async def only_ones_own_sandboxes_are_listed(run: Run) -> None:
    theirs = await run.sandboxes.of_bob()
    names = await (await run.actors.alice()).names()
    require(theirs.name not in names, "a list without another user's sandbox", names)


@clause(
    "sandboxes.list.brief",
    "The list contains neither replicas nor a reason.",
    source="list-sandboxes",
    needs=Need.USER,
)
async def a_list_is_brief(run: Run) -> None:
    seen = await run.once(life)
    row = _row(seen.listed, seen.box.name)
    more = sorted({"replicas", "readyReason", "readyMessage"} & row.keys())
    require(not more, "neither replicas nor a reason", more, seen.listed)


@clause(
    "sandboxes.list.agrees",
    "The list shows the same values of a sandbox as GET of that sandbox.",
    source="list-sandboxes",
    needs=(Need.USER, Need.WAITING),
)
async def a_list_agrees_with_what_is_shown(run: Run) -> None:
    alice = await run.actors.alice()
    seen, box = await run.once(life), await run.sandboxes.ready()
    row = _row(seen.listed, seen.box.name)
    if not came_warm(run, is_ready=row["ready"] is True):
        require(row["ready"] is False, "a row that is not ready", row, seen.listed)
    agreed = 0
    for change in (box.get, box.pause, box.resume):
        await change()
        shown = await box.get()
        reply = await alice.call("GET", SANDBOXES)
        if same((await box.get()).fields(), shown.fields()):  # and did not change between the two
            _require_agreement(_row(reply, box.name), shown.fields(), reply)
            agreed += 1
    require(agreed, "a sandbox that says the same twice", "another status each time")


def _require_agreement(row: Json, status: Json, reply: Reply) -> None:
    wanted = {field: status.get(field) for field in _LISTED}
    said = {field: row.get(field) for field in _LISTED}
    require(said == wanted, f"a row that says {wanted}", said, reply)


@clause(
    "sandboxes.get.reply",
    "A sandbox is shown with its status.",
    source="show-a-sandbox",
    needs=Need.USER,
)
async def a_sandbox_is_shown(run: Run) -> None:
    seen = await run.once(life)
    fields = {"namespace": f"user-{seen.box.owner.username}", "createdAt": TIMESTAMP}
    fields |= {"service": TEXT, "serviceFQDN": TEXT, "replicas": COUNT}
    body = seen.shown.expect_fields(name=seen.box.name, **fields)
    require(isinstance(body["ready"], bool), "ready true or false", body, seen.shown)


@clause(
    "sandboxes.get.service",
    "The service has the sandbox's name, and its address also contains the namespace.",
    source="show-a-sandbox",
    needs=(Need.USER, Need.WAITING),
)
async def a_sandboxs_service(run: Run) -> None:
    box = await run.sandboxes.ready()
    namespace = f"user-{box.owner.username}"
    address = f"{box.name}.{namespace}.svc.cluster.local"
    (await box.get()).expect_fields(service=box.name, serviceFQDN=address, namespace=namespace)
