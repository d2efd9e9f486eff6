"""Wrong proxies in how they read bodies, and in the order of their checks."""

from __future__ import annotations

import json
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from sandbox_fakeproxy import APIError, Sandbox, Service, User
from starlette.requests import Request

from .gates import matching, meets_mistake, only, replaying
from .mutant import Kind, with_middleware
from .rewriting import ANY, BOX, INSIDE, Answer, Rewritten, asked, error, handled, routed

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .mutant import Make
    from .rewriting import AnswerChange

    Refuses = Callable[[str, bytes], bool]  # a content type and a body

# Bodies ------------------------------------------------------------------------------------------

BODIES = Kind("Bodies")
_TYPE, _SIZE = b"content-type", b"content-length"
_read_by_proxy = matching(r"\w+ /api/.*")  # and not by a sandbox


def _header(scope: Scope, name: bytes) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(name, b"").decode("latin-1")


def _with_header(scope: Scope, name: bytes, value: str) -> Scope:
    headers = [pair for pair in scope["headers"] if pair[0] != name]
    return {**scope, "headers": [*headers, (name, value.encode("latin-1"))]}


def _typed(content_type: str, chosen: Callable[[str], bool]) -> Make:
    """Have the proxy read another content type in place of some."""

    def change(scope: Scope) -> Scope:
        is_read = _read_by_proxy(scope) and chosen(_header(scope, _TYPE))
        return _with_header(scope, _TYPE, content_type) if is_read else scope

    return routed(change)


BODIES.add(
    "conventions.body.charset-ignored",
    "JSON whose content type says its charset counts as an empty object.",
    _typed("text/plain", lambda said: ";" in said),
    "conventions.body.utf-8",
)


BODIES.add(
    "conventions.body.large-ignored",
    "A body over 50 KB counts as an empty object.",
    routed(
        lambda scope: (
            _with_header(scope, _TYPE, "text/plain")
            if _read_by_proxy(scope) and int(_header(scope, _SIZE) or 0) > 50 * 1024
            else scope
        )
    ),
    "conventions.body.large",
)


def _object_or_empty(content: bytes) -> bytes:
    try:
        json.loads(content)
    except ValueError:
        return b"{}"
    return content


BODIES.add(
    "conventions.body.null",
    "null counts as an empty object.",
    asked(("POST /api/.*", lambda said: {} if said is None else said)),
    "conventions.body.scalar",
)
BODIES.add(
    "conventions.body.malformed-ignored",
    "Malformed JSON counts as an empty object.",
    handled("POST /api/.*", lambda request: request.send(_object_or_empty(request.content))),
    "conventions.body.malformed",
)
BODIES.add(
    "conventions.body.charset-unknown",
    "An unknown charset is read as UTF-8.",
    _typed("application/json", lambda said: said.endswith("nonsense")),
    "conventions.body.charset",
)


def _refusing(refuses: Refuses, change: AnswerChange) -> Make:
    """Refuse some bodies where the proxy would read them."""

    def changed(answer: Answer) -> None:
        if b"Malformed JSON" in answer.body:
            change(answer)

    def wrap(app: ASGIApp) -> ASGIApp:
        # A malformed body shows first whether the caller may send one at all.
        refused = Rewritten(app, ANY, changed, range(400, 401))

        async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not (_read_by_proxy(scope) and _header(scope, _SIZE)):
                await app(scope, receive, send)
                return
            answering, sent = app, await Request(scope, receive).body()
            if refuses(_header(scope, _TYPE), sent):
                answering, sent = refused, b"{"
                scope = _with_header(scope, _TYPE, "application/json")
            scope = _with_header(scope, _SIZE, str(len(sent)))
            message = {"type": "http.request", "body": sent}
            await answering(scope, replaying([message], receive), send)

        return refusing

    return with_middleware(wrap)


def _is_empty_object(_content_type: str, sent: bytes) -> bool:
    try:
        return bool(json.loads(sent) == {})
    except ValueError:
        return False


for _id, _said, _make in (
    (
        "array",
        "An array is refused as no object",
        _refusing(
            lambda _type, sent: sent.startswith(b"["),
            error(400, "Bad Request", "The JSON body must be an object"),
        ),
    ),
    (
        "other-type",
        "Another content type than JSON is 415",
        _refusing(
            lambda said, sent: bool(sent and said) and "json" not in said,
            error(415, "Unsupported Media Type", "The body must be JSON"),
        ),
    ),
    (
        "any-type",
        "A body is read as JSON whatever its content type",
        _typed("application/json", lambda said: "json" not in said.lower()),
    ),
    (
        "small",
        "No body may have more than 50 KB",
        _refusing(
            lambda _type, sent: len(sent) > 50 * 1024,
            error(413, "Payload Too Large", "The body is too large"),
        ),
    ),
    (
        "absent",
        "Without a body, a request is 411",
        _refusing(
            lambda _type, sent: not sent,
            error(411, "Length Required", "A body is required"),
        ),
    ),
    (
        "empty",
        "An empty object is 500",
        _refusing(_is_empty_object, error(500, "Internal Server Error", "Unexpected end of input")),
    ),
):
    BODIES.add(
        f"conventions.body.{_id}",
        f"{_said}.",
        _make,
        "conventions.body."
        + {"any-type": "other-type", "small": "large", "empty": "empty-object"}.get(_id, _id),
    )

ORDER = Kind("The order of checks")


class _Early(Service):
    """Refuse some requests before a key is asked for."""

    message: ClassVar[str]

    def authenticate(self, authorization: str | None) -> User:
        self._check()
        return super().authenticate(authorization)

    def authenticate_admin(self, authorization: str | None) -> None:
        self._check()
        super().authenticate_admin(authorization)

    def _check(self) -> None:
        if meets_mistake():
            raise APIError(400, self.message)


class _BodyFirst(_Early):
    message = "name is required"


class _IdFirst(_Early):
    message = "key id must be a UUID"


# The owners of the sandbox that a request names, if the caller has none of that name.
_owners: ContextVar[list[User]] = ContextVar("_owners")


class _Looking(Service):
    """A service that notes the other users who have a sandbox of the name in a request."""

    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        try:
            return super().owned_sandbox(user, name)
        except APIError:
            has = self.store.sandbox
            _owners.get([]).extend(each for each in self.users() if has(each.id, name))
            raise


def _ownership_last(app: ASGIApp, *, is_missing: bool) -> ASGIApp:
    """Refuse a number as a command before the sandbox is refused, missing or another user's."""

    async def validated(scope: Scope, receive: Receive, send: Send) -> None:
        sent = bytearray()

        async def noted() -> Message:
            message = await receive()
            sent.extend(message.get("body", b""))
            return message

        def change(answer: Answer) -> None:
            if b'"command":5' in sent and is_missing is not bool(owners):
                error(422, "Unprocessable Entity", "command must be text")(answer)

        owners: list[User] = []
        _owners.set(owners)
        await Rewritten(app, OWNED, change, range(403, 404))(scope, noted, send)

    return validated


OWNED = rf"\w+ ({BOX}(/pause|/resume)?|{INSIDE}/.*)"
for _id, _said, _make, _clause in (
    (
        "body-first",
        "An empty body is refused before a key is asked for",
        only(lambda scope: _header(scope, _SIZE) == "2", _BodyFirst),
        "authentication-first",
    ),
    (
        "id-first",
        "An id that is none is refused before a key is asked for",
        only(matching(r"DELETE /api/(me|admin)/apikeys/[^/-]+/?|.*no-uuid.*"), _IdFirst),
        "authentication-first",
    ),
    (
        "ownership-last",
        "What is asked of a sandbox that is not there is checked before whether it is",
        with_middleware(partial(_ownership_last, is_missing=True), service=_Looking),
        "ownership-second",
    ),
    (
        "others-last",
        "What is asked of another user's sandbox is checked before whose it is",
        with_middleware(partial(_ownership_last, is_missing=False), service=_Looking),
        "other-users-second",
    ),
):
    ORDER.add(f"conventions.order.{_id}", f"{_said}.", _make, f"conventions.order.{_clause}")

KINDS = (
    BODIES,
    ORDER,
)
