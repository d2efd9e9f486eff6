"""The wire contract, pure: requests out, replies in, no I/O.

Text that comes from the proxy is made fit for a terminal and free of the API key before it
gets into an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import quote

from ._errors import BrokenReply, InvalidInput, ProxyFailed, counted, kind_named, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._errors import Verb

T = TypeVar("T")

KEY_PREFIX = "sk_live_"

MAX_NAME = 63
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# The deployed proxy accepts a leading digit; such a sandbox never starts, and must be deletable.
_EXISTING_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME_RULE = (
    f"A name has 1 to {MAX_NAME} characters: lower-case letters, digits and hyphens, a letter"
    " first, no hyphen last."
)


@dataclass(frozen=True)
class Request:
    """One request about `sandbox`: `path` is percent-encoded and goes behind `proxyUrl`."""

    verb: Verb
    method: str
    path: str
    sandbox: str = ""
    body: Mapping[str, object] | None = None

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice is the same as sending it once."""
        return self.method == "GET"


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
            BrokenReply: the body is an HTML page, empty, or not JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise BrokenReply(f"The proxy answered {self.status} with {self.form()}") from None

    def form(self) -> str:
        """Return the words for what the body is when it is not JSON."""
        if not self.body.strip():
            return "an empty body"
        if "html" in self.content_type.lower() or self.body.lstrip()[:1] == b"<":
            return "an HTML page, as load balancers and web servers send it"
        return f"a body of {counted(len(self.body), 'byte')} that is not JSON"

    def words(self) -> str:
        """Return the proxy's own message: one line, without the key; empty where there is none."""
        try:
            content = _object(self.json(), "the reply")
        except BrokenReply:
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


@dataclass(frozen=True)
class Sandbox:
    """A sandbox as the proxy reports it; a list gives no replicas, reason or message."""

    name: str
    ready: bool
    replicas: int | None = None
    reason: str = ""
    message: str = ""
    namespace: str = ""
    service: str = ""
    created_at: str = ""


@dataclass(frozen=True)
class CommandResult:
    """What a command printed and how it ended; `exit_code` is None until it has."""

    status: str
    output: str
    exit_code: int | None
    session_id: str


def check_name(name: str, *, new: bool = False) -> str:
    """Return `name` when it can be a sandbox's, a `new` one's by the stricter rule.

    Raises:
        InvalidInput: it cannot.
    """
    pattern = _NAME if new else _EXISTING_NAME
    if len(name) <= MAX_NAME and pattern.fullmatch(name):
        return name
    shown = json.dumps(name if len(name) <= 80 else name[:79] + "…", ensure_ascii=False)
    if KEY_PREFIX in name or not shown.isprintable():
        shown = "a key" if KEY_PREFIX in name else "text that cannot be shown"
    raise InvalidInput(
        f"{shown} ({counted(len(name), 'character')}) cannot be a sandbox's name",
        advice=f"{_NAME_RULE} For example: my-sandbox.",
    )


def _check_text(what: str, text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(f"{what} is not valid Unicode text", advice="Write it as UTF-8.")


def create(name: str, *, image: str | None, port: int) -> Request:
    """Ask for a new sandbox; without an image the proxy takes its own default."""
    check_name(name, new=True)
    if not 1 <= port <= 65535:
        raise InvalidInput(f"port has value {port}", advice="Give a number from 1 to 65535.")
    _check_text("The image", image or "")
    body: dict[str, object] = {"name": name, "port": port}
    if image:
        body["image"] = image
    return Request("create", "POST", _path("api", "sandboxes"), name, body)


def listing() -> Request:
    """Ask for all sandboxes of the caller."""
    return Request("list", "GET", _path("api", "sandboxes"))


def status(name: str) -> Request:
    """Ask for one sandbox's state."""
    return Request("status", "GET", _path("api", "sandboxes", check_name(name)), name)


def delete(name: str) -> Request:
    """Ask to remove a sandbox and its files."""
    return Request("delete", "DELETE", _path("api", "sandboxes", check_name(name)), name)


def pause(name: str) -> Request:
    """Ask to stop a sandbox and keep its files."""
    return Request("pause", "POST", _path("api", "sandboxes", check_name(name), "pause"), name)


def resume(name: str) -> Request:
    """Ask to start a paused sandbox."""
    return Request("resume", "POST", _path("api", "sandboxes", check_name(name), "resume"), name)


def execute(name: str, command: str, *, whole: bool = False) -> Request:
    """Ask the sandbox's runtime to run a shell command and wait for its end.

    It cuts output above 30,000 characters, unless it is asked for as a `whole`.
    """
    check_name(name)
    if not command.strip():
        raise InvalidInput("The command is empty", advice="Say what the sandbox should run.")
    _check_text("The command", command)
    path = _path("proxy", name, "v1", "shell", "exec")
    body: dict[str, object] = {"command": command}
    if whole:
        body["truncate"] = False
    return Request("prompt", "POST", path, name, body)


def read_sandbox(reply: Reply) -> Sandbox:
    """Read the reply to `status`."""
    return _sandbox(_object(reply.json(), "the sandbox"), reply, whole=True)


def read_listing(reply: Reply) -> list[Sandbox]:
    """Read the reply to `listing`, newest first as the proxy sends it."""
    content = _object(reply.json(), "the list")
    rows = cast("list[object]", _member(content, "sandboxes", list))
    return [_sandbox(_object(row, "a sandbox of the list"), reply, whole=False) for row in rows]


def read_created(reply: Reply) -> str:
    """Read the image from the reply to `create`; empty where the proxy does not name it."""
    made = _object(_object(reply.json(), "the reply").get("sandbox", {}), "the new sandbox")
    return reply.clean(_optional(made, "image"))


def read_done(reply: Reply) -> None:
    """Read the reply to `delete`, `pause` or `resume`: a success, or not what the contract says."""
    if _object(reply.json(), "the reply").get("success") is not True:
        raise BrokenReply(f"The proxy answered {reply.status} without success: {reply.words()}")


def read_result(reply: Reply) -> CommandResult:
    """Read the runtime's reply to `execute`; a command that fails is a success here.

    Raises:
        ProxyFailed: the runtime says that it could not run the command at all.
        BrokenReply: the reply is not the runtime's.
    """
    content = _object(reply.json(), "the reply")
    if content.get("success") is False:
        raise ProxyFailed(
            f"The sandbox's runtime did not run the command: {reply.words() or 'no reason given'}",
            advice="Try again; if it stays, remove the sandbox with {delete} and make a new one.",
        )
    data = _object(content.get("data"), "data")
    output, code = data.get("output"), data.get("exit_code")
    if output is not None and not isinstance(output, str):
        raise _unlike("data.output", "a string", output)
    if code is not None and (isinstance(code, bool) or not isinstance(code, int)):
        raise _unlike("data.exit_code", "a number", code)
    return CommandResult(
        status=reply.clean(_member(data, "status", str)),
        # A lone surrogate is legal in JSON and in no output of ours.
        output=(output or "").encode(errors="replace").decode(),
        exit_code=code,
        session_id=reply.clean(_optional(data, "session_id")),
    )


def _path(*segments: str) -> str:
    return "".join("/" + quote(segment, safe="") for segment in segments)


def _sandbox(content: Mapping[str, object], reply: Reply, *, whole: bool) -> Sandbox:
    def text(name: str) -> str:
        return reply.clean(_optional(content, name))

    return Sandbox(
        name=reply.clean(_member(content, "name", str)),
        ready=_member(content, "ready", bool),
        replicas=_member(content, "replicas", int) if whole else None,
        reason=text("readyReason"),
        message=text("readyMessage"),
        namespace=text("namespace"),
        service=text("service"),
        created_at=text("createdAt"),
    )


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _unlike(what, "an object", value)
    return cast("dict[str, object]", value)


def _member(content: Mapping[str, object], name: str, kind: type[T]) -> T:
    value = content.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _unlike(name, kind_named(kind), value)
    return value


def _optional(content: Mapping[str, object], name: str) -> str:
    return _member(content, name, str) if content.get(name) is not None else ""


def _unlike(what: str, expected: str, value: object) -> BrokenReply:
    return BrokenReply(
        f"The proxy's reply has {kind_of(value)} as {what}, where the contract says {expected}"
    )
