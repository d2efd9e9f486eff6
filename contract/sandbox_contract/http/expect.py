"""Expectations of an answer, and the violations that they raise."""

import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, cast

from dirty_equals import IsPartialDict

from .exchange import Exchange, masked

# Node.js and the newer standard name this status otherwise.
_PHRASES = {413: ("Payload Too Large", "Content Too Large", "Request Entity Too Large")}
_SHOWN = 600  # characters of a value in a sentence

Json = Any


class Violation(Exception):
    """A promise that the target has broken.

    `exchange` is the one that shows it, where a single one does.
    """

    def __init__(self, expected: str, received: str, exchange: Exchange | None = None) -> None:
        super().__init__(f"expected {expected}, received {received}")
        self.expected = expected
        self.received = received
        self.exchange = exchange


class NotInTime(Violation):
    """Something that the target did not do within its time."""


class NoAnswer(Violation):
    """The target has taken a request and not answered it."""


class _Object(dict[str, Any]):
    """A JSON object that raises `Violation` for a missing field or one of another type."""

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        for fields, shape, fits in _SHAPES:
            if key in fields and not fits(value):
                raise Violation(f"a field {key!r} that is {shape}", _worded(value))
        return value

    def __missing__(self, key: str) -> Any:
        raise Violation(f"a field {key!r}", _worded(dict(self)))


def _is_object(value: object) -> bool:
    return isinstance(value, _Object)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_object, cast("list[object]", value)))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


# The type of a field by its name, so that no check has to test it.
_SHAPES: tuple[tuple[set[str], str, Callable[[object], bool]], ...] = (
    ({"user", "sandbox", "key_info", "data", "headers"}, "an object", _is_object),
    (
        {"users", "sandboxes", "api_keys", "files", "console", "detail"},
        "a list of objects",
        _is_list,
    ),
    (
        {"id", "username", "api_key", "message", "timestamp", "session_id", "output", "content"},
        "text",
        _is_text,
    ),
)


class Reply:
    """An answer with expectations, each of which raises `Violation`."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.status = exchange.status
        self.headers = exchange.headers

    def __str__(self) -> str:
        said = self.exchange.redactor.text(self.exchange.body.decode(errors="replace"))
        return f"{self.status} {_cut(said)}".strip()

    @property
    def is_json(self) -> bool:
        """Tell whether it says that it is JSON."""
        kind = self.headers.get("content-type", "").partition(";")[0]
        return kind.strip().lower() == "application/json"

    def json(self) -> Json:
        """Return the body as JSON."""
        try:
            return json.loads(self.exchange.body, object_hook=_Object)
        except (ValueError, RecursionError) as exc:
            raise Violation("a body of JSON", str(self), self.exchange) from exc

    def fields(self) -> Json:
        """Return the body as a JSON object."""
        body = self.json()
        if not isinstance(body, _Object):
            raise Violation("a JSON object", str(self), self.exchange)
        return body

    def expect(self, *statuses: int) -> "Reply":
        """Expect one of some statuses."""
        if self.status not in statuses:
            raise Violation(_one_of([str(each) for each in statuses]), str(self), self.exchange)
        return self

    def expect_json(self, pattern: object, status: int = 200) -> Json:
        """Expect a status and JSON that equals a pattern; return it."""
        body = self.expect(status).json()
        if body != pattern:
            raise Violation(f"{status} {_worded(pattern)}", str(self), self.exchange)
        return body

    def expect_fields(self, status: int = 200, /, **fields: object) -> Json:
        """Expect a status and a JSON object with at least these fields; return it."""
        body = self.expect_json(IsPartialDict(**fields), status)
        for name, wanted in fields.items():
            # In JSON, true is no 1.
            if isinstance(wanted, int) and type(body[name]) is not type(wanted):
                raise Violation(f"{status} with {name} {wanted!r}", str(self), self.exchange)
        return body

    def expect_refusal(self, status: int, message: "str | re.Pattern[str] | None" = None) -> None:
        """Expect an error in the proxy's form, and its message or a pattern within that."""
        body = self.expect(status).fields()
        phrases = _PHRASES.get(status, (HTTPStatus(status).phrase,))
        if body.get("error") not in phrases or not _fits(body.get("message"), message):
            wanted = message.pattern if isinstance(message, re.Pattern) else message
            text = "text" if wanted is None else repr(wanted)
            expected = f"{status} with error {_one_of([repr(each) for each in phrases])}"
            raise Violation(f"{expected} and message {text}", str(self), self.exchange)

    def expect_like(self, other: "Reply") -> None:
        """Expect the same answer as another."""
        if (self.status, self.exchange.body) != (other.status, other.exchange.body):
            raise Violation(f"the same answer as {other}", str(self), self.exchange)


def same(one: Json, other: Json) -> bool:
    """Return whether two values are the same JSON; 1 is not true, null not a missing field."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def require(condition: object, expected: str, received: object, reply: Reply | None = None) -> None:
    """Raise `Violation` unless a condition holds."""
    if not condition:
        exchange = None if reply is None else reply.exchange
        raise Violation(expected, _worded(received), exchange)


def require_fields(described: Json, names: Iterable[str], reply: Reply | None = None) -> None:
    """Raise `Violation` unless an object has exactly these fields; their values are not shown."""
    expected = sorted(names)
    received = sorted(described)
    require(received == expected, f"exactly the fields {expected}", received, reply)


def _fits(said: object, message: "str | re.Pattern[str] | None") -> bool:
    if not isinstance(said, str) or not said:
        return False
    if isinstance(message, re.Pattern):
        return message.search(said) is not None
    return message is None or said == message


def _one_of(options: list[str]) -> str:
    return options[0] if len(options) == 1 else f"one of {', '.join(options)}"


def _worded(value: object) -> str:
    if isinstance(value, Reply):
        return str(value)
    return _cut(value if isinstance(value, str) else repr(value))


def _cut(text: str) -> str:
    text = masked(text)  # before it is cut, which may leave half of a key
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
