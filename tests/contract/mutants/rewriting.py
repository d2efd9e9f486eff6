"""Middleware that rewrites requests to a fake, or its answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request

from .mutant import with_middleware

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .mutant import Make

Json = Any
JsonChange = Callable[[Json], Json]

MINE = "/api/me/apikeys"
BOXES = "/api/sandboxes"
BOX = r"/api/sandboxes/[^/]+"
INSIDE = r"/proxy/[^/]+"
SHELL = rf"{INSIDE}/v1/shell"
EXEC, VIEW, WAIT, WRITE, KILL = (
    f"POST {SHELL}/{each}" for each in ("exec", "view", "wait", "write", "kill")
)
KEYS = r"/api/(me|admin/users/[^/]+)/apikeys"
USERS = r"/api/admin/users"
USER = r"/api/admin/users/[^/]+"
ANY = r".*"
_REFUSALS = range(400, 600)
_SUCCESSES = range(200, 300)


@dataclass(slots=True)
class Answer:
    """An answer on its way back, to be rewritten."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    body: bytes = b""

    def take(self, message: Message) -> None:
        """Take the next part of it."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message.get("body", b"")

    async def pass_on(self, send: Send, method: str) -> None:
        """Send it, as the response to a method."""
        if method != "HEAD":  # which has the length of a body that is not sent
            self.headers[b"content-length"] = str(len(self.body)).encode()
        start = {"type": "http.response.start", "status": self.status}
        await send({**start, "headers": list(self.headers.items())})
        await send({"type": "http.response.body", "body": self.body})


AnswerChange = Callable[[Answer], object]


class Rewritten:
    """Change the answers to some requests, if they have some statuses."""

    def __init__(self, app: ASGIApp, matches: str, change: AnswerChange, statuses: range) -> None:
        self._app = app
        self._matches = re.compile(matches)
        self._change = change
        self._statuses = statuses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if not _fits(self._matches, scope):
            await self._app(scope, receive, send)
            return
        answer = Answer()

        async def taken(message: Message) -> None:
            answer.take(message)

        await self._app(scope, receive, taken)
        if answer.status in self._statuses:
            self._change(answer)
        await answer.pass_on(send, scope["method"])


class Reworded:
    """Change the JSON bodies of some requests."""

    def __init__(self, app: ASGIApp, matches: str, change: JsonChange) -> None:
        self._app = app
        self._matches = re.compile(matches)
        self._change = change

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if not _fits(self._matches, scope):
            await self._app(scope, receive, send)
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        body = _changed(body, self._change)
        messages: list[Message] = [{"type": "http.request", "body": body}]

        async def reworded() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(_of_size(scope, len(body)), reworded, send)


def _fits(matches: re.Pattern[str], scope: Scope) -> bool:
    asked = f"{scope.get('method')} {scope.get('path')}"
    return scope["type"] == "http" and matches.fullmatch(asked) is not None


def _of_size(scope: Scope, size: int) -> Scope:
    headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
    return {**scope, "headers": [*headers, (b"content-length", str(size).encode())]}


def _changed(body: bytes, change: JsonChange) -> bytes:
    """Change a JSON body; any other body stays as it is."""
    try:
        value = json.loads(body)
    except ValueError:
        return body
    return json.dumps(change(value)).encode()


# Wrong proxies ----------------------------------------------------------------------------------


def answered(matches: str, change: AnswerChange, *, on: int | None = None) -> Make:
    """Change the answers to some requests: the successes, or those of the status `on`."""
    statuses = _SUCCESSES if on is None else range(on, on + 1)
    return with_middleware(lambda app: Rewritten(app, matches, change, statuses))


def refused(matches: str, change: AnswerChange) -> Make:
    """Change the refusals of some requests."""
    return with_middleware(lambda app: Rewritten(app, matches, change, _REFUSALS))


def asked(*rewordings: tuple[str, JsonChange]) -> Make:
    """Change the bodies of some requests."""

    def wrap(app: ASGIApp) -> ASGIApp:
        for matches, change in rewordings:
            app = Reworded(app, matches, change)
        return app

    return with_middleware(wrap)


def routed(change: Callable[[Scope], Scope]) -> Make:
    """Change the line or the headers of requests."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def rerouted(scope: Scope, receive: Receive, send: Send) -> None:
            await app(change(scope) if scope["type"] == "http" else scope, receive, send)

        return rerouted

    return with_middleware(wrap)


# Changes ----------------------------------------------------------------------------------------


def changing(change: JsonChange) -> JsonChange:
    """Return the change itself, typed for a table of changes."""
    return change


def status(code: int) -> AnswerChange:
    """Return the change to another status."""
    return lambda answer: setattr(answer, "status", code)


def typed(content_type: str) -> AnswerChange:
    """Return the change to another content type."""
    return lambda answer: answer.headers.update({b"content-type": content_type.encode()})


def plain(text: str) -> AnswerChange:
    """Return the change to plain text."""

    def change(answer: Answer) -> None:
        answer.body = text.encode()
        typed("text/plain")(answer)

    return change


def error(code: int, phrase: str, message: str) -> AnswerChange:
    """Return the change to an error."""

    def change(answer: Answer) -> None:
        answer.status = code
        answer.body = json.dumps({"error": phrase, "message": message}).encode()

    return change


def body(change: JsonChange) -> AnswerChange:
    """Return the change of an answer's JSON body."""
    return lambda answer: setattr(answer, "body", _changed(answer.body, change))


def turning(path: str, turn: Callable[[Any], object]) -> JsonChange:
    """Return the change of a field, as `sandboxes.*.ready`; a field that is not there stays so."""

    def change(value: Json) -> Json:
        for holder, name in _places(value, path):
            if name in holder:
                holder[name] = turn(holder[name])
        return value

    return change


def setting(path: str, to: object) -> JsonChange:
    """Return the change that gives a field a value, whether it had one or not."""

    def change(value: Json) -> Json:
        for holder, name in _places(value, path):
            holder[name] = to
        return value

    return change


def losing(*paths: str) -> JsonChange:
    """Return the change that leaves fields out."""

    def change(value: Json) -> Json:
        for path in paths:
            for holder, name in _places(value, path):
                holder.pop(name, None)
        return value

    return change


def renaming(path: str, new_name: str) -> JsonChange:
    """Return the change of a field's name."""

    def change(value: Json) -> Json:
        for holder, name in _places(value, path):
            if name in holder:
                holder[new_name] = holder.pop(name)
        return value

    return change


def of_command(change: Callable[[str], str]) -> JsonChange:
    """Return the change of a command line, if there is one."""
    return turning("command", lambda line: change(line) if isinstance(line, str) else line)


def _places(value: Json, path: str) -> Iterator[tuple[Json, str]]:
    """Yield every object that may hold a field, and the field's name there."""
    head, _, rest = path.partition(".")
    if head == "*":
        for each in _items(value):
            yield from _places(each, rest)
        return
    if isinstance(value, dict) and not rest:
        yield value, head
    elif isinstance(value, dict) and head in value:
        yield from _places(value[head], rest)


def _items(value: Json) -> Json:
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]  # JSON


async def answer_of(app: ASGIApp, scope: Scope, receive: Receive) -> Answer:
    """Return an app's answer to a request."""
    answer = Answer()

    async def taken(message: Message) -> None:
        answer.take(message)

    await app(scope, receive, taken)
    return answer


# Other answers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """A request that was read to its end: it can be sent several times, or replaced by others."""

    app: ASGIApp
    scope: Scope
    content: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """Return the fields of its JSON body."""
        return _fields_of(self.content)

    @property
    def sandbox(self) -> str:
        """Return the name in a path below `/proxy/`."""
        return str(self.scope["path"]).split("/")[2]

    async def send(self, content: bytes | None = None) -> Answer:
        """Send it, with its own body or another one."""
        content = self.content if content is None else content
        return await _answer(self.app, _of_size(self.scope, len(content)), content)

    async def send_fields(self, fields: Json) -> Answer:
        """Send it with another JSON body."""
        return await self.send(json.dumps(fields).encode())

    async def ask(self, method: str, path: str, fields: Json = None) -> Answer:
        """Send another request of the same caller to the same sandbox's runtime."""
        path = f"/proxy/{self.sandbox}{path}"
        headers = [pair for pair in self.scope["headers"] if pair[0] != b"content-type"]
        other = {
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": b"",
            "headers": [*headers, (b"content-type", b"application/json")],
        }
        content = b"" if fields is None else json.dumps(fields).encode()
        return await _answer(self.app, _of_size({**self.scope, **other}, len(content)), content)


Handle = Callable[[Held], Awaitable[Answer]]


def data_of(answer: Answer) -> dict[str, Any]:
    """Return the `data` of a runtime's answer; an empty object where there is none."""
    data: dict[str, Any] | None = _fields_of(answer.body).get("data")
    return data or {}


def _fields_of(content: bytes) -> dict[str, Any]:
    """Return a JSON object; an empty one for any other body."""
    try:
        value: Json = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]  # JSON


async def _answer(app: ASGIApp, scope: Scope, content: bytes) -> Answer:
    answer = Answer()
    messages: list[Message] = [{"type": "http.request", "body": content}]

    async def receive() -> Message:
        # No caller leaves: one that does cancels the task, as requests are in process.
        return messages.pop() if messages else await asyncio.get_running_loop().create_future()

    async def taken(message: Message) -> None:
        answer.take(message)

    await app(scope, receive, taken)
    return answer


class Handled:
    """Have a function answer some requests; it may send them to the fake."""

    def __init__(self, app: ASGIApp, matches: str, handle: Handle) -> None:
        self._app = app
        self._matches = re.compile(matches)
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if not _fits(self._matches, scope):
            await self._app(scope, receive, send)
            return
        answer = await self._handle(Held(self._app, scope, await Request(scope, receive).body()))
        await answer.pass_on(send, scope["method"])


def handled(matches: str, handle: Handle) -> Make:
    """Have a function answer some requests; it may send them to the fake."""
    return with_middleware(lambda app: Handled(app, matches, handle))
