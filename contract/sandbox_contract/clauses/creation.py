"""Creation of sandboxes: the response, names and fields."""

import re

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.api import NAME_REQUIRED, NO_ACCESS, SANDBOXES, TEXT
from sandbox_contract.harness.clock import A_WHILE
from sandbox_contract.harness.readiness import Phase
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Reply, require, same
from sandbox_contract.target import Need

from .lifetime import observe_lifetime

_LIMIT = 63  # characters of a name
_IMAGE = "ghcr.io/agent-infra/sandbox:latest"
# The rule for names, in any words: a DNS label (RFC 1035 and 1123), its characters or its length.
_NAME_RULE = re.compile(
    r"\b(dns|labels?|rfc ?-?1(035|123)|lower-? ?case|alphanumeric|letters?|hyphens?|63)\b|a-z",
    re.IGNORECASE,
)


@clause(
    "sandboxes.create.reply",
    "Creating a sandbox is 201 and returns the sandbox.",
    source="create-a-sandbox",
    needs=Need.USER,
)
async def a_sandbox_is_created(run: Run) -> None:
    seen = await run.once(observe_lifetime)
    name, owner = seen.box.name, seen.box.owner
    body = seen.created.expect_fields(
        201, success=True, message=f"Sandbox '{name}' created successfully"
    )
    expected = {"name": name, "namespace": f"user-{owner.username}", "image": TEXT}
    actual = {field: body["sandbox"].get(field) for field in expected}
    require(actual == expected, f"a sandbox {expected}", actual, seen.created)


_IGNORED_FIELDS: dict[str, object] = {
    "port": 1,
    "replicas": 7,
    "namespace": "user-nobody",
    "unknown": {"a": [1]},
}


async def _create_with_all_fields(run: Run) -> Reply:
    """Request a sandbox with the longest name, an image and fields to be ignored."""
    name = run.name("long").ljust(_LIMIT, "x")
    box = await run.sandboxes.unused(await run.actors.alice(), name=name)
    return await box.create(image=_IMAGE, **_IGNORED_FIELDS)


async def _create_with(run: Run, name: str | None, **fields: object) -> Reply:
    """Return the response for a sandbox with some of these fields.

    It is the response for all of them together or, if that was an error, one for these alone, which
    shows whether they are the cause.
    """
    reply = await run.once(_create_with_all_fields)
    if reply.status == 201:
        return reply
    return await (await run.sandboxes.unused(await run.actors.alice(), name=name)).create(**fields)


@clause(
    "sandboxes.create.image",
    "The response shows the image that was requested.",
    source="create-a-sandbox",
    needs=Need.USER,
)
async def the_requested_image_is_used(run: Run) -> None:
    reply = await _create_with(run, None, image=_IMAGE)
    image = reply.expect_fields(201)["sandbox"]["image"]
    require(image == _IMAGE, f"image {_IMAGE}", image, reply)


@clause(
    "sandboxes.create.default-image",
    "With an empty image, the response shows the same default image as without one.",
    source="create-a-sandbox",
    needs=Need.USER,
)
async def the_default_image_is_used(run: Run) -> None:
    default = (await run.once(observe_lifetime)).created.expect_fields(201)["sandbox"]["image"]
    reply = (await run.once(observe_lifetime)).created_again
    image = reply.expect_fields(201)["sandbox"]["image"]
    require(image == default, f"the default image {default}", image, reply)


@clause(
    "sandboxes.create.unknown-fields",
    "Unknown fields, and port, are ignored.",
    source="create-a-sandbox",
    needs=Need.USER,
)
async def unknown_fields_are_ignored(run: Run) -> None:
    reply = await _create_with(run, None, **_IGNORED_FIELDS)
    created, owner = reply.expect_fields(201)["sandbox"], await run.actors.alice()
    namespace = f"user-{owner.username}"
    require(created["namespace"] == namespace, f"namespace {namespace}", created, reply)


@clause(
    "sandboxes.create.name-required",
    "A sandbox without a name is 400, and the message says that it is required.",
    source="create-a-sandbox",
    needs=Need.USER,
)
async def a_name_is_required(run: Run) -> None:
    alice = await run.actors.alice()
    for fields in ({}, {"image": "an:image"}, {"name": ""}, {"name": None}):
        reply = await alice.call("POST", SANDBOXES, fields)
        reply.expect_refusal(400, NAME_REQUIRED)


@clause(
    "sandboxes.create.duplicate",
    "A name that the user already has is 409.",
    source="names",
    needs=Need.USER,
)
async def a_taken_name_is_refused(run: Run) -> None:
    seen = await run.once(observe_lifetime)
    seen.duplicate.expect_refusal(409, f"Sandbox '{seen.box.name}' already exists")


@clause(
    "sandboxes.create.duplicate-changes-nothing",
    "A refused duplicate leaves the existing sandbox unchanged.",
    source="names",
    needs=(Need.USER, Need.WAITING),
)
async def a_refused_duplicate_changes_nothing(run: Run) -> None:
    box = await run.sandboxes.ready()
    (await box.pause()).expect(200)
    paused = (await run.clock.until_phase(box, Phase.PAUSED))[-1]
    (await box.create(image="another:image")).expect_refusal(409)
    await run.clock.advance(A_WHILE)
    reply = await box.get()
    require(same(reply.fields(), paused), f"the paused sandbox as it was: {paused}", reply, reply)
    seen = await run.once(observe_lifetime)
    before, after = seen.first_get.fields(), seen.get_after_duplicate.expect_fields()
    is_unchanged = before["createdAt"] == after["createdAt"]
    expected = f"createdAt {before['createdAt']}"
    require(is_unchanged, expected, after, seen.get_after_duplicate)


@clause(
    "sandboxes.create.name-per-user",
    "Two users can use the same name, and neither sees the other's sandbox.",
    source="names",
    needs=Need.SECOND_USER,
)
async def a_name_is_unique_per_user(run: Run) -> None:
    first = await run.sandboxes.shared()
    second = await run.sandboxes.unused(await run.actors.bob(), name=first.name)
    (await second.create()).expect(201)
    for box in (first, second):
        (await box.get()).expect_fields(namespace=f"user-{box.owner.username}")
    (await second.delete()).expect(200)
    (await second.get()).expect_refusal(403, NO_ACCESS)
    (await first.get()).expect_fields(name=first.name)


@clause(
    "sandboxes.create.longest-name",
    "A name can have 63 characters.",
    source="names",
    needs=Need.USER,
)
async def the_longest_name_is_accepted(run: Run) -> None:
    reply = await _create_with(run, run.name("long").ljust(_LIMIT, "x"))
    name = str(reply.expect_fields(201)["sandbox"]["name"])
    require(len(name) == _LIMIT, f"a name of {_LIMIT} characters", name, reply)


def _expect_rule_stated(reply: Reply) -> None:
    reply.expect_refusal(400)
    message = reply.fields()["message"]
    expected = "a message that states the rule, such as: a DNS label of at most 63 characters"
    require(_NAME_RULE.search(message), expected, message, reply)


@clause(
    "sandboxes.create.no-label",
    "A name that is not a DNS label is 400, and the message states the rule.",
    source="other-names",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def a_name_that_is_not_a_label_is_refused(run: Run) -> None:
    alice, base = await run.actors.alice(), run.name("n")
    for value in ([base], {"of": base}):
        reply = await alice.call("POST", SANDBOXES, {"name": value})
        _expect_rule_stated(reply)
    for name in (
        f"-{base}",
        f"{base}-",
        f"{base}_",
        f"{base}/x",
        f"{base} x",
        f"{base}X",
        f"{base}\n",
    ):
        reply = await (await run.sandboxes.unused(alice, name=name)).create()
        _expect_rule_stated(reply)


async def _expect_name_refused(run: Run, name: str) -> None:
    """Require that a name is refused by the rule, for a temporary user: it may stay taken."""
    temporary_user = await run.actors.temporary_user()
    box = await run.sandboxes.unused(temporary_user, name=name)
    reply = await box.create()
    if reply.status >= 500:
        run.cluster.may_keep_sandbox_of(temporary_user.username)
    _expect_rule_stated(reply)
    (await box.get()).expect_refusal(403, NO_ACCESS)


@clause(
    "sandboxes.create.dots",
    "A name with dots is 400, the message states the rule, and nothing is created.",
    source="other-names",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def a_name_with_dots_is_refused(run: Run) -> None:
    await _expect_name_refused(run, f"{run.name('n')}.x")


@clause(
    "sandboxes.create.too-long",
    "A name of 64 characters or more is 400, the message states the rule, and nothing is created.",
    source="other-names",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def a_too_long_name_is_refused(run: Run) -> None:
    for length in (_LIMIT + 1, 253, 300):
        await _expect_name_refused(run, run.name("n").ljust(length, "x"))


@clause(
    "sandboxes.create.leading-digit",
    "A name that starts with a digit is 400, and the message states the rule.",
    source="other-names",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def a_leading_digit_is_refused(run: Run) -> None:
    name = f"1{run.name('n')}"
    reply = await (await run.sandboxes.unused(await run.actors.alice(), name=name)).create()
    _expect_rule_stated(reply)
