"""Check that a run can start: the target answers, the keys work, and deletion works."""

from collections.abc import Generator
from contextlib import contextmanager

from sandbox_contract.http.client import Caller, Unreachable
from sandbox_contract.http.expect import Reply, Violation
from sandbox_contract.target import CannotRun

from .api import SANDBOXES, USERS, user_path
from .cluster import has_cluster
from .leftovers import leftovers
from .run import Run


async def reach(run: Run) -> None:
    """Check that a proxy answers, and find out whether it may have a cluster; send no key.

    Raises:
        CannotRun: nothing answers, or no proxy.
    """
    with _refusals(run):
        await _as_anybody(run)
        run.cluster.is_there = await has_cluster(run.client, run.target)


async def preflight(run: Run) -> list[str]:
    """Return the leftovers of earlier runs in words, each with its run's id.

    Raises:
        CannotRun: nothing answers, a key does not work, or deletion does not work.
    """
    with _refusals(run):
        if run.target.admin_key:
            await _as_admin(run)
        for key in (run.target.api_key, run.target.second_api_key):
            if key:
                await _as_user(run, Caller.with_key(run.client, key))
        if run.target.api_key and run.target.second_api_key and not run.target.admin_key:
            await _as_two_users(run)
        found = await leftovers(run.client, run.target)
    return [f"{each.what} of run {each.run_id}" for each in found]


@contextmanager
def _refusals(run: Run) -> Generator[None]:
    """Turn each error into `CannotRun`, without keys."""
    try:
        yield
    except CannotRun as exc:
        raise CannotRun(run.redactor.text(str(exc))) from exc
    except Unreachable as exc:
        raise CannotRun(str(exc)) from exc
    except Violation as exc:
        raise CannotRun(run.redactor.text(f"The target does not answer as a proxy: {exc}")) from exc


async def _as_anybody(run: Run) -> None:
    """Send a request that needs no key."""
    health = await run.actors.anonymous("GET", "/health")
    if 300 <= health.status < 400:
        raise CannotRun(
            f"The target redirects to {health.headers.get('location', 'somewhere else')}."
            " Judge what really answers: no key is sent on."
        )
    if not health.is_json:
        raise CannotRun(
            f"The target does not answer as a proxy: GET /health is {health.status} with"
            f" {health.headers.get('content-type', 'no content type')}, expected JSON."
            " Correct --proxy-url."
        )
    run.target_version = target_version(health)


async def _as_admin(run: Run) -> None:
    """Make a user and remove it."""
    listed = await run.actors.admin("GET", USERS)
    if listed.status in {401, 403}:
        raise CannotRun(
            f"The admin key is refused: {listed}. Pass the key that the proxy has as ADMIN_API_KEY."
        )
    listed.expect(200)
    username = run.name("preflight")
    made = (await run.actors.request_user(username)).expect_fields(201)
    path = user_path(str(made["user"]["id"]))
    # The deployed proxy answers 500 although the user is gone, so that the next GET decides.
    deleted = await run.actors.admin("DELETE", path)
    if (await run.actors.admin("GET", path)).status != 404:
        raise CannotRun(
            f"What the suite makes could not be removed: deleting user {username} was answered"
            f" with {deleted}, and the user is still there."
        )
    await run.end_clause()  # which forgets the user


async def _as_two_users(run: Run) -> None:
    """Check that the two keys belong to two users."""
    alice, bob = await run.actors.alice(), await run.actors.bob()
    if alice.id == bob.id:
        raise CannotRun(
            f"API_KEY and SECOND_API_KEY are both {alice.username}'s. Pass another user's key."
        )


async def _as_user(run: Run, caller: Caller) -> None:
    """Ask that a sandbox be deleted that was never made."""
    shown = await caller("GET", SANDBOXES)
    if shown.status == 401:
        raise CannotRun(f"An API key is refused: {shown}. Pass a user's key that is active.")
    shown.expect(200)
    refused = await caller("DELETE", f"{SANDBOXES}/{run.name('preflight')}")
    is_no_route = "route" in str(refused).lower()
    if refused.status not in {403, 404} or is_no_route:
        raise CannotRun(
            "What the suite makes could not be removed: deleting a sandbox that does not exist was"
            f" answered with {refused}, expected 403. Nothing was made."
        )


_VERSION_LENGTH = 80  # characters


def target_version(health: Reply) -> str | None:
    """Return the field `version` of an answer to `GET /health`, on one line and cut, or None.

    A header `Server` names the web server or a reverse proxy, and not the proxy's version.
    """
    try:
        version = health.fields().get("version")
    except Violation:
        return None
    if not isinstance(version, str) or not version.strip():
        return None
    line = health.exchange.redactor.text(" ".join(version.split()))
    return line if len(line) <= _VERSION_LENGTH else f"{line[:_VERSION_LENGTH]}…"
