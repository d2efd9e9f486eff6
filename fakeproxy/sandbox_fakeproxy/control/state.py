"""All that the fake remembers, as one document for testers' eyes: no secret is in it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox_fakeproxy.api.request_log import RequestFilter, RequestLog
from sandbox_fakeproxy.api.users import describe_key, describe_user
from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.controller import Controller, Phase
from sandbox_fakeproxy.model import Sandbox
from sandbox_fakeproxy.store import Store

_SHOWN = 5  # requests


def state_of(store: Store, controller: Controller, profile: str, now: datetime) -> dict[str, Any]:
    """Describe users, newest first, with their keys and sandboxes as they are now."""
    users = [
        describe_user(user)
        | {
            "keys": [describe_key(key) for key in store.keys(user.id)],
            "sandboxes": [
                sandbox_state(sandbox, controller, now) for sandbox in store.sandboxes(user.id)
            ],
        }
        for user in store.users()
    ]
    return {
        "now": iso(now),
        "profile": profile,
        "counts": {
            "users": len(users),
            "keys": sum(len(user["keys"]) for user in users),
            "sandboxes": sum(len(user["sandboxes"]) for user in users),
        },
        "users": users,
    }


def sandbox_state(sandbox: Sandbox, controller: Controller, now: datetime) -> dict[str, Any]:
    """Describe a sandbox: the last request for it, and its present status."""
    phase = controller.phase(sandbox, now)
    return {
        "id": sandbox.id,
        "name": sandbox.name,
        "image": sandbox.image,
        "failure_mode": sandbox.desired.failure_mode.value,
        "phase": phase.value,
        "ready": phase is not Phase.VANISHED and controller.condition(sandbox, now).ready,
        "is_paused": sandbox.desired.is_paused,
        "created_at": iso(sandbox.created_at),
        "changed_at": iso(sandbox.desired.since),
    }


def describe_request(request: Mapping[str, Any]) -> str:
    """Describe a logged request in one line."""
    fault = f" [{request['fault']}]" if request["fault"] else ""
    said = f"{request['status'] or '...'} {request['method']} {request['path']}"
    return f"{said} ({request['caller']}){fault}"


def explain_count(log: RequestLog, wanted: RequestFilter, times: int | None, found: int) -> str:
    """Explain that requests were made another number of times than was expected."""
    expected = (
        "at least one request" if times is None else f"{times} request{'s' if times != 1 else ''}"
    )
    said = f"expected {expected} {wanted.method} {wanted.route}, but there were {found}."
    return f"{said} {describe_closest(log, wanted)}"


def describe_closest(log: RequestLog, wanted: RequestFilter) -> str:
    """Describe the logged requests that fit a filter best, and how each differs from it."""
    closest = log.closest(wanted, _SHOWN)
    if not closest:
        return "No request was made at all."
    lines = ["The closest:"]
    for request, names in closest:
        differs = f"another {', '.join(names)}" if names else "as expected"
        if request["milliseconds"] is None:
            differs += ", but not over yet"
        body = request["request_body"] if "json" in names else None
        differs += "" if body is None else f" {body}"
        lines.append(f"  {describe_request(request)}: {differs}")
    return "\n".join(lines)
