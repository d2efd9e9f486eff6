"""Requests and replies of all routes, without I/O, and the validation of JSON values.

The proxy's text is made printable, and the API key in it is masked, before it is used in an error.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar, cast
from urllib.parse import quote

from sandbox_client.errors import InvalidInput, InvalidResponse
from sandbox_client.text import kind_named, kind_of, pluralize

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

T = TypeVar("T")

Operation = Literal[
    "create",
    "status",
    "describe",
    "list",
    "delete",
    "pause",
    "resume",
    "open session",
    "execute",
    "view",
    "kill",
    "list sessions",
    "end session",
    "read file",
    "write file",
    "list files",
    "health",
    "me",
    "users",
]


READ_DEADLINE = 20.0  # seconds, retries included
CHANGE_DEADLINE = 30.0
MAX_REPLY_BYTES = 8 * 1024 * 1024
CHANGE_MAY_BE_DONE = (
    "The proxy may have done it all the same: look with {list} before you repeat it."
)


@dataclass(frozen=True)
class Request:
    """A request and how the transport handles it.

    `path` is percent-encoded and follows `proxyUrl`; `sandbox` is the name of the sandbox, if the
    request is about one. The response has to be complete after `deadline` seconds, without a pause
    of more than `idle_timeout` seconds, and has at most `max_bytes` bytes. A `repeatable` request
    is idempotent and is sent again after a transient fault. `if_lost` is the advice if no response
    shows whether the request was carried out; a request without it has no effect.
    """

    operation: Operation
    method: str
    path: str
    sandbox: str = ""
    body: Mapping[str, object] | None = None
    deadline: float = READ_DEADLINE
    idle_timeout: float | None = None
    max_bytes: int = MAX_REPLY_BYTES
    repeatable: bool = False
    if_lost: str = ""

    @classmethod
    def to_read(cls, operation: Operation, path: str, sandbox: str = "") -> Request:
        """Return a GET request, which is repeatable and has no effect."""
        return cls(operation, "GET", path, sandbox, repeatable=True)

    @classmethod
    def to_change(
        cls,
        operation: Operation,
        method: str,
        path: str,
        sandbox: str = "",
        body: Mapping[str, object] | None = None,
        *,
        if_lost: str = CHANGE_MAY_BE_DONE,
    ) -> Request:
        """Return a request that is sent only once, since it is not idempotent."""
        return cls(
            operation, method, path, sandbox, body, deadline=CHANGE_DEADLINE, if_lost=if_lost
        )


@dataclass(frozen=True)
class Reply:
    """A response of the proxy; `secret`, the API key, and `secrets` are masked in every text of it.

    `retry_after` is in seconds, and `date` the time of the server's clock, if it sends them.
    """

    status: int
    body: bytes
    content_type: str = ""
    location: str = ""
    retry_after: float | None = None
    secret: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    date: datetime | None = None

    def json(self) -> object:
        """Return the body's JSON value.

        Raises:
            InvalidResponse: the body is an HTML page, empty, or not JSON, or has a number that is
                infinite or none.
        """
        try:
            return json.loads(self.body, parse_constant=_no_number, parse_float=_finite)
        except (ValueError, RecursionError):
            raise InvalidResponse(
                f"The proxy answered {self.status} with {self.describe_body()}"
            ) from None

    def describe_body(self) -> str:
        """Describe a body that is not JSON."""
        if not self.body.strip():
            return "an empty body"
        if "html" in self.content_type.lower() or self.body.lstrip()[:1] == b"<":
            return "an HTML page, as load balancers and web servers send it"
        return f"a body of {pluralize(len(self.body), 'byte')} that is not JSON"

    def message(self) -> str:
        """Return the proxy's message as one line without the key, or an empty string."""
        try:
            content = as_object(self.json(), "the reply")
        except InvalidResponse:
            return ""
        for name in ("message", "error", "detail"):
            text = content.get(name)
            if isinstance(text, list):  # FastAPI's 422
                text = json.dumps(text)
            if isinstance(text, str) and text.strip():
                return self.clean(text)
        if isinstance(database := content.get("database"), str):  # of /health
            return self.clean(f"status {content.get('status')}, database {database}")
        return ""

    def clean(self, text: str) -> str:
        """Return `text` as one printable line of at most 300 characters, without the key."""
        # Case-insensitive, since a host name comes back in lower case.
        for secret in filter(None, (self.secret, *self.secrets)):
            text = re.sub(re.escape(secret), "[key]", text, flags=re.IGNORECASE)
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= 300 else line[:299] + "…"


def _no_number(text: str) -> object:
    """Refuse NaN and Infinity, which Python would read."""
    raise InvalidResponse(f"The proxy's reply has {text} as a number, which JSON does not know")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidResponse(f"The proxy's reply has {text[:20]} as a number, which is too large")
    return number


def check_text(label: str, text: str) -> None:
    """Check that `text`, which errors call `label`, can be encoded as UTF-8.

    Raises:
        InvalidInput: the text has a lone surrogate.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(f"{label} is not valid Unicode text", advice="Write it as UTF-8.")


def path_of(*segments: str) -> str:
    """Join path segments, each percent-encoded."""
    return "".join("/" + quote(segment, safe="") for segment in segments)


def as_object(value: object, label: str) -> dict[str, object]:
    """Return `value`, which errors call `label`, as a JSON object.

    Raises:
        InvalidResponse: `value` is not an object.
    """
    if not isinstance(value, dict):
        raise mismatch(label, "an object", value)
    return cast("dict[str, object]", value)


def member(content: Mapping[str, object], name: str, kind: type[T]) -> T:
    """Return a member of a JSON object; a boolean is not accepted as a number.

    Raises:
        InvalidResponse: the member is missing or has another type than `kind`.
    """
    value = content.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise mismatch(name, "a whole number" if kind is int else kind_named(kind), value)
    return value


def optional(content: Mapping[str, object], name: str) -> str:
    """Return a string member of a JSON object; an empty string if it is missing or null."""
    return member(content, name, str) if content.get(name) is not None else ""


def rows_of(content: Mapping[str, object], name: str) -> list[object]:
    """Return the rows of a list; a list may lack its count.

    Raises:
        InvalidResponse: there are no rows, or more or fewer than the count says.
    """
    rows = cast("list[object]", member(content, name, list))
    if content.get("count") is not None and (count := member(content, "count", int)) != len(rows):
        raise InvalidResponse(
            f"The proxy's list has {pluralize(len(rows), 'row')}, and says that it has {count}"
        )
    return rows


def mismatch(label: str, expected: str, value: object) -> InvalidResponse:
    """Return the error for a value that breaks the contract."""
    shown = f"the number {value:g}" if isinstance(value, float) else kind_of(value)
    return InvalidResponse(
        f"The proxy's reply has {shown} as {label}, where the contract says {expected}"
    )
