"""Wrong proxies in how they read bodies, and in the order of their checks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy import _http
from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._proxy.gate import Gate

from .mutant import Kind, with_patched

if TYPE_CHECKING:
    from starlette.requests import Request

    from .mutant import Make

# Bodies ------------------------------------------------------------------------------------------

BODIES = Kind("Bodies")


def _reading(change: Any) -> Make:
    """Have the proxy read bodies in another way."""
    return with_patched("json_object", change, _http)


def _object(headers: Any, sent: bytes) -> dict[str, Any]:
    if sent:
        return dict(json.loads(sent))
    return _JSON_OBJECT(headers, sent)


_JSON_OBJECT = _http.json_object


def _no_array(headers: Any, sent: bytes) -> dict[str, Any]:
    if sent.startswith(b"["):
        raise Refusal(400, "The JSON body must be an object")
    return _JSON_OBJECT(headers, sent)


def _bare_type(headers: Any, sent: bytes) -> dict[str, Any]:
    return {} if ";" in headers.get("content-type", "") else _JSON_OBJECT(headers, sent)


BODIES.add(
    "conventions.body.charset-ignored",
    "JSON whose content type says its charset counts as an empty object.",
    _reading(_bare_type),
    "conventions.body.utf-8",
)


def _no_other_type(headers: Any, sent: bytes) -> dict[str, Any]:
    if sent and "json" not in headers.get("content-type", "json"):
        raise Refusal(415, "The body must be JSON")
    return _JSON_OBJECT(headers, sent)


def _required(headers: Any, sent: bytes) -> dict[str, Any]:
    if not sent:
        raise Refusal(411, "A body is required")
    return _JSON_OBJECT(headers, sent)


def _small(headers: Any, sent: bytes) -> dict[str, Any]:
    if len(sent) > 50 * 1024:
        raise Refusal(413, "The body is too large")
    return _JSON_OBJECT(headers, sent)


def _not_empty(headers: Any, sent: bytes) -> dict[str, Any]:
    if sent and not _JSON_OBJECT(headers, sent):
        raise Refusal(500, "Unexpected end of input")
    return _JSON_OBJECT(headers, sent)


for _id, _said, _read, _clauses in (
    ("array", "An array is refused as no object", _no_array, ("array",)),
    ("other-type", "Another content type than JSON is 415", _no_other_type, ("other-type",)),
    (
        "any-type",
        "A body is read as JSON whatever its content type",
        _object,
        ("other-type",),
    ),
    ("small", "No body may have more than 50 KB", _small, ("large",)),
    ("absent", "Without a body, a request is 411", _required, ("absent",)),
    ("empty", "An empty object is 500", _not_empty, ("empty-object",)),
):
    BODIES.add(
        f"conventions.body.{_id}",
        f"{_said}.",
        _reading(_read),
        *(f"conventions.body.{clause}" for clause in _clauses),
    )

ORDER = Kind("The order of checks")


class _Early(Gate):
    """A gate that looks at something before it asks for a key."""

    def require_user(self, request: Request) -> Any:
        self.check(request)
        return super().require_user(request)

    def require_admin(self, request: Request) -> None:
        self.check(request)
        super().require_admin(request)

    def check(self, request: Request) -> None:
        """Look at it."""


@ORDER.of(
    "conventions.order.body-first",
    "An empty body is refused before a key is asked for.",
    "conventions.order.authentication-first",
)
class BodyFirst(_Early):
    def check(self, request: Request) -> None:
        if request.headers.get("content-length") == "2":
            raise Refusal(400, "name is required")


@ORDER.of(
    "conventions.order.id-first",
    "An id that is none is refused before a key is asked for.",
    "conventions.order.authentication-first",
)
class IdFirst(_Early):
    def check(self, request: Request) -> None:
        if request.path_params.get("key_id", "0-0").find("-") < 0 or "no-uuid" in request.url.path:
            raise Refusal(400, "key id must be a UUID")


@ORDER.of(
    "conventions.order.ownership-last",
    "What is asked of a sandbox is checked before whose it is.",
    "conventions.order.ownership-second",
)
class OwnershipLast(Gate):
    def owner(self, handler: Any, read: Any) -> Any:
        endpoint = super().owner(handler, read)

        async def validated(request: Request) -> Any:
            try:
                return await endpoint(request)
            except Refusal as refusal:
                if refusal.status == 403 and b'"command":5' in await request.body():
                    raise Refusal(422, "command must be text") from refusal
                raise

        return validated


KINDS = (
    BODIES,
    ORDER,
)
