"""One request and one reply, pure: what all routes of the wire contract have in common.

Text that comes from the proxy is made fit for a terminal and free of the API key before it
gets into an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar, cast
from urllib.parse import quote

from sandbox_client.errors import InvalidInput, InvalidResponse
from sandbox_client.text import kind_named, kind_of, pluralize

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

Operation = Literal[
    "create",
    "status",
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
    """A request, and how the transport has to treat it.

    `path` is percent-encoded and follows `proxyUrl`; `sandbox` is the name of the sandbox in
    question. The response has to be complete after `deadline` seconds, and a pause in it ends it
    after `idle_timeout` seconds. A `repeatable` request is sent again after a passing fault: to
    send it twice has the effect of once. `if_lost` is the advice when no response says whether the
    request was carried out; a request without it has no effect.
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
        """Return a GET request, which has no effect."""
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
        """Return a request that is sent once, as a second one might have another effect."""
        return cls(
            operation, method, path, sandbox, body, deadline=CHANGE_DEADLINE, if_lost=if_lost
        )


@dataclass(frozen=True)
class Reply:
    """What came back. `secret` is what no text made from it may contain."""

    status: int
    body: bytes
    content_type: str = ""
    location: str = ""
    retry_after: float | None = None
    secret: str = field(default="", repr=False)

    def json(self) -> object:
        """Return the body's JSON value.

        Raises:
            InvalidResponse: the body is an HTML page, empty, or not JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise InvalidResponse(f"The proxy answered {self.status} with {self.form()}") from None

    def form(self) -> str:
        """Return the words for what the body is when it is not JSON."""
        if not self.body.strip():
            return "an empty body"
        if "html" in self.content_type.lower() or self.body.lstrip()[:1] == b"<":
            return "an HTML page, as load balancers and web servers send it"
        return f"a body of {pluralize(len(self.body), 'byte')} that is not JSON"

    def words(self) -> str:
        """Return the proxy's own message: one line, without the key; empty where there is none."""
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
        return ""

    def clean(self, text: str) -> str:
        """Return `text` as one printable line of at most 300 characters, without the key."""
        # In any case: a host's name comes back in lower case.
        if self.secret:
            text = re.sub(re.escape(self.secret), "[key]", text, flags=re.IGNORECASE)
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= 300 else line[:299] + "…"


def check_text(what: str, text: str) -> None:
    """Refuse what no UTF-8 request can hold.

    Raises:
        InvalidInput: `what` has a lone surrogate.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(f"{what} is not valid Unicode text", advice="Write it as UTF-8.")


def path_of(*segments: str) -> str:
    """Return the path of these segments, each percent-encoded."""
    return "".join("/" + quote(segment, safe="") for segment in segments)


def as_object(value: object, what: str) -> dict[str, object]:
    """Return `value` as the JSON object that the contract says it is.

    Raises:
        InvalidResponse: it is something else.
    """
    if not isinstance(value, dict):
        raise unlike(what, "an object", value)
    return cast("dict[str, object]", value)


def member(content: Mapping[str, object], name: str, kind: type[T]) -> T:
    """Return the member of that name and kind; true is no number.

    Raises:
        InvalidResponse: it is missing, or of another kind.
    """
    value = content.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise unlike(name, kind_named(kind), value)
    return value


def optional(content: Mapping[str, object], name: str) -> str:
    """Return a text that may be missing, or null: it is empty then."""
    return member(content, name, str) if content.get(name) is not None else ""


def unlike(what: str, expected: str, value: object) -> InvalidResponse:
    """Return the error for a value that is not what the contract says."""
    return InvalidResponse(
        f"The proxy's reply has {kind_of(value)} as {what}, where the contract says {expected}"
    )
