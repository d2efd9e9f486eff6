"""The routes below `/_fake/`, with which tests control the fake; not part of the contract."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from starlette.requests import Request

from sandbox_fakeproxy.api.auth import Auth
from sandbox_fakeproxy.api.request_log import CAPACITY
from sandbox_fakeproxy.api.routing import ApiRoute
from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.errors import APIError
from sandbox_fakeproxy.http import Arguments, Reply, read_body
from sandbox_fakeproxy.model import parse_failure_mode

from .documents import parse_document
from .fake import Fake
from .seed import parse_seed

_REQUEST_FILTERS = frozenset({"limit", "method", "route", "user", "status", "since"})
_EXAMPLE_TIME = "2026-01-31T12:00:00Z"
_DOCUMENT_LIMIT = 16 * 1024 * 1024


class Control:
    """Handlers of the routes below `/_fake/`, which need the admin key."""

    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    async def reset(self, _arguments: Arguments) -> Reply:
        """Delete all state except the time."""
        await self._fake.reset()
        return Reply({"success": True, "message": "All state was deleted, except the time"})

    async def advance_clock(self, arguments: Arguments) -> Reply:
        """Advance the clock."""
        seconds = arguments.body.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise APIError(400, "seconds is required: a number, 0 or more")
        if not 0 <= seconds < math.inf:
            raise APIError(400, "seconds must be 0 or more: the clock cannot be set back")
        with _as_api_errors():
            return Reply({"success": True, "now": iso(self._fake.advance(seconds))})

    async def requests(self, arguments: Arguments) -> Reply:
        """List the last requests that match the query, newest first."""
        unknown = sorted(arguments.query.keys() - _REQUEST_FILTERS)
        if unknown:
            expected = ", ".join(sorted(_REQUEST_FILTERS))
            raise APIError(400, f"Unknown query '{unknown[0]}'. Expected some of: {expected}")
        query = dict(arguments.query)
        limit = _parse_number(query.pop("limit", str(CAPACITY)), "limit")
        filters: dict[str, Any] = dict(query)
        if "status" in query:
            filters["status"] = _parse_number(query["status"], "status")
        if "since" in query:
            filters["since"] = _parse_time(query["since"], "since")
        requests = self._fake.requests(limit=limit, **filters)
        return Reply({"count": len(requests), "requests": requests})

    async def list_faults(self, _arguments: Arguments) -> Reply:
        """List the armed faults."""
        return Reply({"faults": self._fake.faults.armed()})

    async def replace_faults(self, content: bytes) -> Reply:
        """Replace all armed faults by those of a document."""
        with _as_api_errors():
            self._fake.faults.replace(parse_document(content))
        return Reply({"success": True, "faults": self._fake.faults.armed()})

    async def clear_faults(self, _arguments: Arguments) -> Reply:
        """Disarm all faults."""
        self._fake.faults.clear()
        return Reply({"success": True, "faults": []})

    async def state(self, _arguments: Arguments) -> Reply:
        """Return the current users, keys and sandboxes."""
        return Reply(self._fake.state())

    async def seed(self, content: bytes) -> Reply:
        """Replace all users, keys and sandboxes by those of a document."""
        with _as_api_errors():
            seed = parse_seed(content, has_port=self._fake.faults.has_port)
            created = await self._fake.replace(seed)
        return Reply({"success": True} | created)

    async def set_failure_mode(self, arguments: Arguments) -> Reply:
        """Set the failure mode of a sandbox."""
        with _as_api_errors():
            sandbox = await self._fake.set_failure_mode(
                arguments.params["username"],
                arguments.params["name"],
                parse_failure_mode(arguments.body.get("failure_mode")),
            )
        return Reply({"success": True, "sandbox": sandbox})


def tester_routes(auth: Auth, control: Control) -> list[ApiRoute]:
    """Return the routes below `/_fake/`."""
    failure_mode_path = "/_fake/sandboxes/{username}/{name}/failure-mode"
    return [
        ApiRoute("POST", "/_fake/reset", auth.admin(control.reset)),
        ApiRoute("POST", "/_fake/clock/advance", auth.admin(control.advance_clock)),
        ApiRoute("GET", "/_fake/requests", auth.admin(control.requests)),
        ApiRoute(
            "GET", "/_fake/journal", auth.admin(control.requests)
        ),  # the former name, until version 0.2
        ApiRoute("GET", "/_fake/faults", auth.admin(control.list_faults)),
        ApiRoute("PUT", "/_fake/faults", auth.admin_with(control.replace_faults, read_document)),
        ApiRoute("DELETE", "/_fake/faults", auth.admin(control.clear_faults)),
        ApiRoute("GET", "/_fake/state", auth.admin(control.state)),
        ApiRoute("PUT", "/_fake/seed", auth.admin_with(control.seed, read_document)),
        ApiRoute("PUT", failure_mode_path, auth.admin(control.set_failure_mode)),
    ]


def _parse_number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 9):
        raise APIError(400, f"{name} has value '{text}'. Expected a number, 0 or more")
    return int(text)


def _parse_time(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise APIError(400, f"{name} has value '{text}'. Expected a time such as {_EXAMPLE_TIME}")
    return moment


async def read_document(request: Request) -> bytes:
    """Read the body of a request that sends a seed or faults, with any content type."""
    return await read_body(request, _DOCUMENT_LIMIT)


@contextmanager
def _as_api_errors() -> Generator[None]:
    """Convert LookupError to 404 and ValueError to 400."""
    try:
        yield
    except LookupError as exc:
        raise APIError(404, str(exc)) from exc
    except ValueError as exc:
        raise APIError(400, str(exc)) from exc
