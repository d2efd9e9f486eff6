"""The contract's tables *Readiness* and *Profiles*, row by row, in both columns."""

from typing import Any

import pytest
from sandbox_fakeproxy import ScriptedRuntime, create_app

from tests.fakeproxy.fake_app import Client, FakeApp, assert_error, exec_path

BOX = "/api/sandboxes/box"
DELAY = 0.1
# The steps to each row: seconds to advance, verbs and failure modes.
WAYS: dict[str, list[float | str]] = {
    "just created": [],
    "pending": [DELAY],
    "starting": [1.05],
    "ready": [2],
    "paused": [2, "pause", DELAY],
    "right after a pause": [2, "pause"],
    "right after a resume": [2, "pause", 60, "resume"],
    "resuming": [2, "pause", 60, "resume", DELAY],
    "resumed and starting": [2, "pause", 60, "resume", 1.05],
    "resumed": [2, "pause", 60, "resume", 2],
    "failed pod": [2, "failed", DELAY],
    "right after a failure": [2, "failed"],
    "expired": [2, "expired", DELAY],
    "never ready": ["never-ready", 1_000_000],
    "controller error": [2, "controller-error", DELAY],
    "controller error while paused": [2, "pause", DELAY, "controller-error", DELAY],
}
NO_REASON = (None, None)
NOT_READY = "DependenciesNotReady"
PENDING = (NOT_READY, "Pod exists with phase: Pending; Service Exists")
STARTING = (NOT_READY, "Pod is Running but not Ready; Service Exists")
EXPIRED = ("SandboxExpired", "Sandbox has expired")
ERROR = ("ReconcilerError", "Error seen: simulated controller failure")
Row = tuple[int, bool, tuple[str | None, str | None]]

_READY: Row = (1, True, ("DependenciesReady", "Pod is Ready; Service Exists"))
_PAUSED: Row = (
    0,
    True,
    ("DependenciesReady", "Pod does not exist, replicas is 0; Service Exists"),
)
V1ALPHA1: dict[str, Row] = {
    "just created": (0, False, NO_REASON),
    "pending": (1, False, PENDING),
    "starting": (1, False, STARTING),
    "ready": _READY,
    "paused": _PAUSED,
    "right after a pause": _READY,
    "right after a resume": _PAUSED,
    "resuming": (1, False, PENDING),
    "resumed and starting": (1, False, STARTING),
    "resumed": _READY,
    "failed pod": (1, False, (NOT_READY, "Pod exists with phase: Failed; Service Exists")),
    "right after a failure": _READY,
    "expired": (0, False, EXPIRED),
    "never ready": (1, False, STARTING),
    "controller error": (1, False, ERROR),
    "controller error while paused": (0, False, ERROR),
}
_SUSPENDED: Row = (0, False, ("SandboxSuspended", "Sandbox is suspended"))
_BETA_READY: Row = (0, True, ("DependenciesReady", "Pod is Ready"))
V1BETA1: dict[str, Row] = {
    "just created": (0, False, NO_REASON),
    "pending": (0, False, PENDING),
    "starting": (0, False, STARTING),
    "ready": _BETA_READY,
    "paused": _SUSPENDED,
    "right after a pause": _BETA_READY,
    "right after a resume": _SUSPENDED,
    "resuming": (0, False, PENDING),
    "resumed and starting": (0, False, STARTING),
    "resumed": _BETA_READY,
    "failed pod": (0, False, ("PodFailed", "Pod failed")),
    "right after a failure": _BETA_READY,
    "expired": (0, False, EXPIRED),
    "never ready": (0, False, STARTING),
    "controller error": (0, False, ERROR),
    "controller error while paused": (0, False, ERROR),
}
TABLES = {"v1alpha1": V1ALPHA1, "v1beta1": V1BETA1}
EVERY_ROW = [(profile, row) for profile, table in TABLES.items() for row in table]


@pytest.fixture
def options(profile: str) -> dict[str, Any]:
    return {"profile": profile}


async def lead(fake: FakeApp, caller: Client, way: list[float | str]) -> None:
    """Make a sandbox and lead it along a way."""
    assert (await caller.request("POST", "/api/sandboxes", {"name": "box"})).status_code == 201
    for step in way:
        if not isinstance(step, str):
            fake.clock.advance(step)
        elif step in {"pause", "resume"}:
            assert (await caller.request("POST", f"{BOX}/{step}")).status_code == 200
        else:
            await fake.set_failure_mode(step)


@pytest.mark.parametrize(("profile", "row"), EVERY_ROW)
async def test_the_row_of_the_readiness_table_is_shown(
    fake: FakeApp, alice: Client, profile: str, row: str
) -> None:
    await lead(fake, alice, WAYS[row])
    shown = (await alice.request("GET", BOX)).json()
    replicas, ready, (reason, message) = TABLES[profile][row]
    assert (shown["replicas"], shown["ready"]) == (replicas, ready)
    assert (shown.get("readyReason"), shown.get("readyMessage")) == (reason, message)
    assert ("readyReason" in shown) == ("readyMessage" in shown) == (reason is not None)
    service = "pending" if row == "just created" else "box"
    assert shown["service"] == service
    listed = (await alice.request("GET", "/api/sandboxes")).json()["sandboxes"][0]
    assert listed["ready"] is ready
    assert listed["service"] == service
    assert not listed.keys() & {"replicas", "readyReason", "readyMessage"}


@pytest.mark.parametrize("profile", ["v1alpha1"])
@pytest.mark.parametrize("row", V1ALPHA1)
async def test_a_command_runs_only_where_the_row_is_ready_and_nothing_else_was_asked_for(
    fake: FakeApp, alice: Client, profile: str, row: str
) -> None:
    await lead(fake, alice, WAYS[row])
    reply = await alice.request("POST", exec_path(), {"command": "ls"})
    if row in {"ready", "resumed"}:
        assert reply.status_code == 200
    elif row == "just created":
        assert_error(reply, 503, "Service Unavailable", "Sandbox service not ready")
    else:
        assert_error(reply, 503, "Service Unavailable", "Sandbox not ready")


@pytest.mark.parametrize("profile", ["v1alpha1"])
@pytest.mark.parametrize("row", V1ALPHA1)
async def test_in_any_row_a_sandbox_is_paused_resumed_and_deleted(
    fake: FakeApp, alice: Client, profile: str, row: str
) -> None:
    await lead(fake, alice, WAYS[row])
    for verb, replicas in (("pause", 0), ("resume", 1)):
        reply = await alice.request("POST", f"{BOX}/{verb}")
        assert reply.status_code == 200
        assert reply.json()["replicas"] == replicas
    assert (await alice.request("DELETE", BOX)).status_code == 200
    assert (await alice.request("POST", "/api/sandboxes", {"name": "box"})).status_code == 201
    fresh = (await alice.request("GET", BOX)).json()
    assert (fresh["ready"], fresh["service"]) == (False, "pending")
    fake.clock.advance(2)
    assert (await alice.request("GET", BOX)).json()["ready"] is True


@pytest.mark.parametrize("profile", TABLES)
@pytest.mark.parametrize("back", [["pause", "resume"], ["failed", "running"]])
async def test_a_change_taken_back_before_the_controller_saw_it_has_no_effect(
    fake: FakeApp, alice: Client, profile: str, back: list[float | str]
) -> None:
    await lead(fake, alice, [2, back[0], DELAY / 2, back[1]])
    for after in (0, DELAY, 60):
        fake.clock.advance(after)
        assert (await alice.request("GET", BOX)).json()["ready"] is True
        assert (await alice.request("POST", exec_path(), {"command": "ls"})).status_code == 200


@pytest.mark.parametrize("profile", TABLES)
async def test_paused_again_before_the_resume_was_seen_it_stays_paused(
    fake: FakeApp, alice: Client, profile: str
) -> None:
    await lead(fake, alice, [2, "pause", 60, "resume", DELAY / 2, "pause"])
    paused = TABLES[profile]["paused"]
    for after in (0, DELAY, 60):
        fake.clock.advance(after)
        shown = (await alice.request("GET", BOX)).json()
        assert (shown["replicas"], shown["ready"]) == paused[:2]


@pytest.mark.parametrize("profile", TABLES)
async def test_paused_while_pending_it_shows_pending_and_then_paused(
    fake: FakeApp, alice: Client, profile: str
) -> None:
    await lead(fake, alice, [0.5, "pause"])
    assert (await alice.request("GET", BOX)).json()["readyMessage"] == PENDING[1]
    fake.clock.advance(DELAY)
    shown = (await alice.request("GET", BOX)).json()
    assert shown["ready"] is TABLES[profile]["paused"][1]


def test_the_profile_is_v1alpha1_unless_another_is_named() -> None:
    app = create_app(admin_key="k", runtime=ScriptedRuntime())
    assert app.state.fake.state()["profile"] == "v1alpha1"


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'v2'\. Expected one of: v1alpha1, v1beta1"):
        create_app(admin_key="k", profile="v2", runtime=ScriptedRuntime())
