"""Sandboxes made, listed, shown and deleted: one life of one sandbox, judged clause by clause."""

from dataclasses import dataclass

from sandbox_contract._run.people import SANDBOXES, Box
from sandbox_contract._run.run import Run
from sandbox_contract._run.status import Phase
from sandbox_contract._wire.expect import Json, Reply, require

from .patterns import COUNT, TEXT, TIMESTAMP
from .registry import checks

NO_ACCESS = "You do not have access to this sandbox"
_LIMIT = 63  # characters of a name
_IMAGE = "ghcr.io/agent-infra/sandbox:latest"


@dataclass(frozen=True, slots=True)
class Life:
    """What was answered from a sandbox's first request to its last; so one sandbox serves many.

    Its second life is a short one: made, paused, deleted.
    """

    box: Box
    created: Reply
    shown: Reply
    early: Reply
    listed: Reply
    in_other_case: Reply
    duplicate: Reply
    shown_after_duplicate: Reply
    deleted: Reply
    shown_after: Reply
    listed_after: Reply
    deleted_again: Reply
    created_again: Reply
    paused: Reply
    deleted_paused: Reply
    shown_at_last: Reply


async def life(run: Run) -> Life:
    """Live through it."""
    alice = await run.alice()
    box = await run.vacant(alice, "life")
    return Life(
        box,
        created=await box.create(),
        shown=await box.get(),
        early=await box.exec("true"),
        listed=await alice.call("GET", SANDBOXES),
        in_other_case=await alice.call("GET", f"{SANDBOXES}/{box.name.upper()}"),
        duplicate=await box.create(image="another:image"),
        shown_after_duplicate=await box.get(),
        deleted=await box.delete(),
        shown_after=await box.get(),
        listed_after=await alice.call("GET", SANDBOXES),
        deleted_again=await box.delete(),
        created_again=await box.create(image=""),
        paused=await box.pause(),
        deleted_paused=await box.delete(),
        shown_at_last=await box.get(),
    )


def _row(reply: Reply, name: str) -> Json:
    rows = [each for each in reply.expect_fields()["sandboxes"] if each.get("name") == name]
    require(len(rows) == 1, f"one row of {name}", rows, reply)
    return rows[0]


# Made -------------------------------------------------------------------------------------------


@checks("sandboxes.create.reply")
async def a_sandbox_is_made(run: Run) -> None:
    seen = await run.once(life)
    name, owner = seen.box.name, seen.box.owner
    body = seen.created.expect_fields(
        201, success=True, message=f"Sandbox '{name}' created successfully"
    )
    shown = {"name": name, "namespace": f"user-{owner.username}", "image": TEXT}
    said = {field: body["sandbox"].get(field) for field in shown}
    require(said == shown, f"a sandbox {shown}", said, seen.created)


_UNKNOWN: dict[str, object] = {
    "port": 1,
    "replicas": 7,
    "namespace": "user-nobody",
    "unknown": {"a": [1]},
}


async def _at_its_longest(run: Run) -> Reply:
    """Ask for a sandbox with all that may be asked of one."""
    name = run.name("long").ljust(_LIMIT, "x")
    box = await run.vacant(await run.alice(), name=name)
    return await box.create(image=_IMAGE, **_UNKNOWN)


async def _made_with(run: Run, name: str | None, **fields: object) -> Reply:
    """Return the answer for a sandbox with some of that.

    It is the one for all of it or, where that was refused, one that tells which is to blame.
    """
    reply = await run.once(_at_its_longest)
    if reply.status == 201:
        return reply
    return await (await run.vacant(await run.alice(), name=name)).create(**fields)


@checks("sandboxes.create.image")
async def the_image_asked_for(run: Run) -> None:
    reply = await _made_with(run, None, image=_IMAGE)
    image = reply.expect_fields(201)["sandbox"]["image"]
    require(image == _IMAGE, f"image {_IMAGE}", image, reply)


@checks("sandboxes.create.default-image")
async def the_default_image(run: Run) -> None:
    default = (await run.once(life)).created.expect_fields(201)["sandbox"]["image"]
    reply = (await run.once(life)).created_again
    image = reply.expect_fields(201)["sandbox"]["image"]
    require(image == default, f"the default image {default}", image, reply)


@checks("sandboxes.create.unknown-fields")
async def unknown_fields_are_ignored(run: Run) -> None:
    reply = await _made_with(run, None, **_UNKNOWN)
    shown, owner = reply.expect_fields(201)["sandbox"], await run.alice()
    namespace = f"user-{owner.username}"
    require(shown["namespace"] == namespace, f"namespace {namespace}", shown, reply)


@checks("sandboxes.create.name-required")
async def a_sandbox_without_a_name(run: Run) -> None:
    alice = await run.alice()
    for fields in ({}, {"image": "an:image"}, {"name": ""}, {"name": None}):
        reply = await alice.call("POST", SANDBOXES, fields)
        reply.expect_refusal(400, "name is required")


@checks("sandboxes.create.duplicate")
async def a_name_that_is_taken(run: Run) -> None:
    seen = await run.once(life)
    seen.duplicate.expect_refusal(409, f"Sandbox '{seen.box.name}' already exists")


@checks("sandboxes.create.duplicate-changes-nothing")
async def a_refused_duplicate_changes_nothing(run: Run) -> None:
    seen = await run.once(life)
    before, after = seen.shown.fields(), seen.shown_after_duplicate.expect_fields()
    same = before.get("createdAt") == after.get("createdAt")
    require(same, f"createdAt {before.get('createdAt')}", after, seen.shown_after_duplicate)


@checks("sandboxes.create.name-per-user")
async def a_name_is_unique_per_user(run: Run) -> None:
    mine = await run.standing_box()
    theirs = await run.vacant(await run.bob(), name=mine.name)
    (await theirs.create()).expect(201)
    for box in (mine, theirs):
        (await box.get()).expect_fields(namespace=f"user-{box.owner.username}")
    (await theirs.delete()).expect(200)
    (await theirs.get()).expect_refusal(403, NO_ACCESS)
    (await mine.get()).expect_fields(name=mine.name)


@checks("sandboxes.create.longest-name")
async def the_longest_name(run: Run) -> None:
    reply = await _made_with(run, run.name("long").ljust(_LIMIT, "x"))
    name = str(reply.expect_fields(201)["sandbox"]["name"])
    require(len(name) == _LIMIT, f"a name of {_LIMIT} characters", name, reply)


@checks("sandboxes.create.no-label")
async def a_name_that_is_no_label(run: Run) -> None:
    alice, base = await run.alice(), run.name("n")
    for name in (f"-{base}", f"{base}-", f"{base}_", f"{base}/x", f"{base} x", f"{base}X"):
        (await (await run.vacant(alice, name=name)).create()).expect_refusal(400)


async def _refused(run: Run, name: str) -> None:
    """Expect that a name is refused, of a user who is thrown away: it may stay taken for good."""
    visitor = await run.visitor()
    box = await run.vacant(visitor, name=name)
    reply = await box.create()
    if reply.status >= 500:
        run.may_be_left(visitor)
    reply.expect_refusal(400)
    (await box.get()).expect_refusal(403, NO_ACCESS)


@checks("sandboxes.create.dots")
async def a_name_with_dots(run: Run) -> None:
    await _refused(run, f"{run.name('n')}.x")


@checks("sandboxes.create.too-long")
async def a_name_that_is_too_long(run: Run) -> None:
    for length in (_LIMIT + 1, 253, 300):
        await _refused(run, run.name("n").ljust(length, "x"))


@checks("sandboxes.create.leading-digit")
async def a_name_that_starts_with_a_digit(run: Run) -> None:
    name = f"1{run.name('n')}"
    (await (await run.vacant(await run.alice(), name=name)).create()).expect_refusal(400)


# Listed and shown -------------------------------------------------------------------------------

_LISTED = ("name", "namespace", "serviceFQDN", "service", "ready", "createdAt")


@checks("sandboxes.list.reply")
async def sandboxes_are_listed(run: Run) -> None:
    seen = await run.once(life)
    row = _row(seen.listed, seen.box.name)
    wanted = {"namespace": f"user-{seen.box.owner.username}", "createdAt": TIMESTAMP}
    wanted |= {"service": TEXT, "serviceFQDN": TEXT}
    said = {field: row.get(field) for field in wanted}
    require(said == wanted, f"a row that says {wanted}", row, seen.listed)
    require(isinstance(row.get("ready"), bool), "ready true or false", row, seen.listed)


@checks("sandboxes.list.count")
async def sandboxes_are_counted(run: Run) -> None:
    seen = await run.once(life)
    for reply in (seen.listed, seen.listed_after):
        boxes = reply.expect_fields(count=COUNT)["sandboxes"]
        reply.expect_fields(count=len(boxes))


@checks("sandboxes.list.newest-first")
async def sandboxes_are_listed_newest_first(run: Run) -> None:
    made = [(await run.standing_box()).name, (await run.new_box()).name]
    await run.target.time.pass_by(0.001)
    made.append((await run.new_box()).name)
    order = made[::-1]
    shown = [name for name in await (await run.alice()).names() if name in order]
    require(shown == order, f"{order}, in this order", shown)


@checks("sandboxes.list.own")
async def only_ones_own_sandboxes_are_listed(run: Run) -> None:
    theirs = await run.theirs()
    names = await (await run.alice()).names()
    require(theirs.name not in names, "a list without another user's sandbox", names)


@checks("sandboxes.list.brief")
async def a_list_is_brief(run: Run) -> None:
    seen = await run.once(life)
    row = _row(seen.listed, seen.box.name)
    more = sorted({"replicas", "readyReason", "readyMessage"} & row.keys())
    require(not more, "neither replicas nor a reason", more, seen.listed)


@checks("sandboxes.list.agrees")
async def a_list_agrees_with_what_is_shown(run: Run) -> None:
    alice = await run.alice()
    box = await run.ready_box()
    for change in (box.get, box.pause, box.resume):
        await change()
        shown = await box.get()
        reply = await alice.call("GET", SANDBOXES)
        if (await box.get()).exchange.body == shown.exchange.body:  # and not between the two
            _require_agreement(_row(reply, box.name), shown.fields(), reply)


def _require_agreement(row: Json, status: Json, reply: Reply) -> None:
    wanted = {field: status.get(field) for field in _LISTED}
    said = {field: row.get(field) for field in _LISTED}
    require(said == wanted, f"a row that says {wanted}", said, reply)


@checks("sandboxes.get.reply")
async def a_sandbox_is_shown(run: Run) -> None:
    seen = await run.once(life)
    fields = {"namespace": f"user-{seen.box.owner.username}", "createdAt": TIMESTAMP}
    fields |= {"service": TEXT, "serviceFQDN": TEXT, "replicas": COUNT}
    body = seen.shown.expect_fields(name=seen.box.name, **fields)
    require(isinstance(body["ready"], bool), "ready true or false", body, seen.shown)


@checks("sandboxes.get.service")
async def a_sandboxs_service(run: Run) -> None:
    box = await run.ready_box()
    namespace = f"user-{box.owner.username}"
    address = f"{box.name}.{namespace}.svc.cluster.local"
    (await box.get()).expect_fields(service=box.name, serviceFQDN=address, namespace=namespace)


# Deleted ----------------------------------------------------------------------------------------


@checks("sandboxes.delete.reply")
async def a_sandbox_is_deleted(run: Run) -> None:
    seen = await run.once(life)
    message = f"Sandbox '{seen.box.name}' deleted successfully"
    seen.deleted.expect_fields(success=True, message=message)


@checks("sandboxes.delete.gone")
async def a_deleted_sandbox_is_gone(run: Run) -> None:
    seen = await run.once(life)
    seen.shown_after.expect_refusal(403, NO_ACCESS)
    rows = seen.listed_after.expect_fields()["sandboxes"]
    names = [each["name"] for each in rows]
    require(seen.box.name not in names, f"a list without {seen.box.name}", names)


@checks("sandboxes.delete.again")
async def a_sandbox_is_deleted_again(run: Run) -> None:
    (await run.once(life)).deleted_again.expect_refusal(403, NO_ACCESS)


@checks("sandboxes.delete.frees-name")
async def a_deleted_sandboxs_name_is_free(run: Run) -> None:
    (await run.once(life)).created_again.expect(201)


@checks("sandboxes.delete.paused")
async def a_paused_sandbox_is_deleted(run: Run) -> None:
    seen = await run.once(life)
    seen.paused.expect(200)
    seen.deleted_paused.expect_fields(success=True)
    seen.shown_at_last.expect_refusal(403, NO_ACCESS)


@checks("sandboxes.delete.others-stay")
async def other_sandboxes_stay(run: Run) -> None:
    kept = await run.ready_box()
    before = (await kept.get()).expect(200)
    (await run.once(life)).deleted.expect(200)
    after = await kept.get()
    after.expect_fields(name=kept.name, createdAt=before.fields()["createdAt"])
    require(await run.is_phase(kept, Phase.READY), "a sandbox that is ready still", after, after)


# Paused and resumed -----------------------------------------------------------------------------


async def _scaled(run: Run, *, again: bool) -> tuple[Box, Reply, Reply]:
    """Pause and resume a sandbox, each once or twice; return the last answers."""
    box = await run.ready_box()
    paused = await box.pause()
    if again:
        paused = await box.pause()
    resumed = await box.resume()
    if again:
        resumed = await box.resume()
    return box, paused, resumed


def _expect_scaled(reply: Reply, name: str, done: str, replicas: int) -> None:
    message = f"Sandbox '{name}' {done} successfully"
    reply.expect_fields(success=True, message=message, replicas=replicas)


@checks("sandboxes.pause.reply")
async def a_sandbox_is_paused(run: Run) -> None:
    box, paused, _ = await _scaled(run, again=False)
    _expect_scaled(paused, box.name, "paused", 0)


@checks("sandboxes.pause.again")
async def a_sandbox_is_paused_again(run: Run) -> None:
    box, paused, _ = await _scaled(run, again=True)
    _expect_scaled(paused, box.name, "paused", 0)


@checks("sandboxes.resume.reply")
async def a_sandbox_is_resumed(run: Run) -> None:
    box, _, resumed = await _scaled(run, again=False)
    _expect_scaled(resumed, box.name, "resumed", 1)


@checks("sandboxes.resume.again")
async def a_sandbox_is_resumed_again(run: Run) -> None:
    box, _, resumed = await _scaled(run, again=True)
    _expect_scaled(resumed, box.name, "resumed", 1)


@checks("sandboxes.pause.keeps-files")
async def files_outlast_a_pause(run: Run) -> None:
    box, text = await run.ready_box(), run.name("text")
    file = f"/sandbox/{run.name('file')}"
    await box.succeed("/v1/file/write", {"file": file, "content": text})
    (await box.pause()).expect(200)
    await run.until_phase(box, Phase.PAUSED)
    await run.ready_box()
    content = (await box.succeed("/v1/file/read", {"file": file}))["content"]
    require(content == text, f"the content {text!r}", content)


@checks("sandboxes.resume.ready")
async def a_resumed_sandbox_runs_commands(run: Run) -> None:
    box = await run.ready_box()
    (await box.pause()).expect(200)
    await run.until_phase(box, Phase.PAUSED)
    (await box.resume()).expect(200)
    await run.until_phase(box, Phase.READY)
    output = await box.output("echo awake")
    require(output == "awake", "the output of a command", output)
