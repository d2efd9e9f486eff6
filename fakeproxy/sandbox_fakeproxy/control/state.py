"""Descriptions of the fake's state and of its logged requests for testers, without secrets."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox_fakeproxy.api.request_log import RequestFilter, RequestLog
from sandbox_fakeproxy.api.users import describe_key, describe_user
from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.controller import Controller
from sandbox_fakeproxy.model import Sandbox
from sandbox_fakeproxy.store import Store

_REQUESTS_SHOWN = 5


def describe_state(
    store: Store, controller: Controller, profile: str, now: datetime
) -> dict[str, Any]:
    """Return the current users, newest first, with their keys and sandboxes."""
    users = [
        describe_user(user)
        | {
            "keys": [describe_key(key) for key in store.keys(user.id)],
            "sandboxes": [
                describe_sandbox(sandbox, controller, now) for sandbox in store.sandboxes(user.id)
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


def describe_sandbox(sandbox: Sandbox, controller: Controller, now: datetime) -> dict[str, Any]:
    """Return the state of a sandbox: its last requested change, and its status at `now`."""
    status = controller.status(sandbox, now)
    return {
        "id": sandbox.id,
        "name": sandbox.name,
        "image": sandbox.image,
        "failure_mode": sandbox.desired.failure_mode.value,
        "phase": status.phase.value,
        "ready": status.condition is not None and status.condition.ready,
        "is_paused": sandbox.desired.is_paused,
        "created_at": iso(sandbox.created_at),
        "changed_at": iso(sandbox.desired.since),
    }


def describe_request(request: Mapping[str, Any]) -> str:
    """Describe a logged request in one line."""
    fault = f" [{request['fault']}]" if request["fault"] else ""
    summary = f"{request['status'] or '...'} {request['method']} {request['path']}"
    return f"{summary} ({request['caller']}){fault}"


def explain_count(
    log: RequestLog, request_filter: RequestFilter, times: int | None, found: int
) -> str:
    """Explain that the number of matching requests was not the expected one."""
    expected = (
        "at least one request" if times is None else f"{times} request{'s' if times != 1 else ''}"
    )
    return (
        f"expected {expected} {request_filter.method} {request_filter.route}, but there were"
        f" {found}. {describe_closest(log, request_filter)}"
    )


def describe_closest(log: RequestLog, request_filter: RequestFilter) -> str:
    """Describe the logged requests closest to a filter, and how each differs from it."""
    closest = log.closest(request_filter, _REQUESTS_SHOWN)
    if not closest:
        return "No request was made at all."
    lines = ["Closest requests:"]
    for request, names in closest:
        difference = f"another {', '.join(names)}" if names else "as expected"
        if request["milliseconds"] is None:
            difference += ", but not over yet"
        body = request["request_body"] if "json" in names else None
        difference += "" if body is None else f" {body}"
        lines.append(f"  {describe_request(request)}: {difference}")
    return "\n".join(lines)
