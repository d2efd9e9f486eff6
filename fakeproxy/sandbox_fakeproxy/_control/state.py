"""All that the fake remembers, as one document for testers' eyes: no secret is in it."""

from datetime import datetime
from typing import Any

from sandbox_fakeproxy._clock import iso
from sandbox_fakeproxy._proxy.administration import public
from sandbox_fakeproxy._proxy.keys import listed
from sandbox_fakeproxy._state.controller import Controller
from sandbox_fakeproxy._state.profiles import Phase
from sandbox_fakeproxy._state.records import Sandbox
from sandbox_fakeproxy._state.store import Store


def state_of(store: Store, controller: Controller, profile: str, now: datetime) -> dict[str, Any]:
    """Describe users, newest first, with their keys and sandboxes as they are now."""
    users = [
        public(user)
        | {
            "keys": [listed(key) for key in store.keys(user.id)],
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
    """Describe a sandbox: what was asked of it last, and what its status says now."""
    phase = controller.phase(sandbox, now)
    return {
        "id": sandbox.id,
        "name": sandbox.name,
        "image": sandbox.image,
        "fate": sandbox.asked.fate.value,
        "phase": phase.value,
        "ready": phase is not Phase.VANISHED and controller.condition(sandbox, now).ready,
        "is_paused": sandbox.asked.is_paused,
        "created_at": iso(sandbox.created_at),
        "changed_at": iso(sandbox.asked.since),
    }
