"""Requests and replies of the proxy's sandbox routes, without I/O."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sandbox_client.errors import InvalidInput, InvalidResponse
from sandbox_client.text import KEY_PREFIX, as_word, pluralize

from .accounts import parse_time
from .message import (
    Request,
    as_object,
    check_text,
    member,
    mismatch,
    optional,
    path_of,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Reply

WORK = "/sandbox"  # the working directory of commands and relative paths; survives a pause
MAX_NAME = 63  # characters
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# The deployed proxy accepts a leading digit; such a sandbox never starts, and must be deletable.
_EXISTING_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_UNREADABLE = "error"  # the `service` in a list while the proxy cannot read the resource
_NAME_RULE = (
    f"A name has 1 to {MAX_NAME} characters: lower-case letters, digits and hyphens, a letter"
    " first, no hyphen last."
)


class State(Enum):
    """The state of a sandbox; it is unknown if its status cannot be read."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def is_over(self) -> bool:
        """Whether the sandbox can no longer become ready."""
        return self in {State.FAILED, State.EXPIRED}


@dataclass(frozen=True)
class Sandbox:
    """A sandbox as the proxy reports it; a list has no replicas, reason or message.

    `created_at` is empty if it is missing or no timestamp.
    """

    name: str
    ready: bool
    replicas: int | None = None
    reason: str = ""
    message: str = ""
    namespace: str = ""
    service: str = ""
    created_at: str = ""

    @property
    def state(self) -> State:
        """The state, derived from `ready`, `replicas`, `reason` and `message` together.

        The v1alpha1 controller reports a paused sandbox as ready and shows the pause in `replicas`
        and the message. The v1beta1 controller shows it in the reason, and its `replicas` are
        always 0.
        """
        if self.service == _UNREADABLE and not self.reason:
            return State.UNKNOWN
        if self.reason == "SandboxSuspended" or "replicas is 0" in self.message:
            return State.PAUSED
        if self.reason == "SandboxExpired":
            return State.EXPIRED
        if self.reason in {"PodFailed", "ReconcilerError"} or "phase: Failed" in self.message:
            return State.FAILED
        if self.ready and self.reason in {"", "DependenciesReady"}:
            # Exactly "Pod is Ready" is v1beta1, where replicas have no meaning.
            has_replicas = self.replicas is None or self.replicas > 0
            return State.READY if has_replicas or self.message == "Pod is Ready" else State.PENDING
        return State.STARTING if "is Running" in self.message else State.PENDING

    @property
    def explanation(self) -> str:
        """The controller's message or reason, or a sentence if it has none yet."""
        if self.state is State.UNKNOWN:
            return "the proxy cannot read its state in the cluster"
        return self.message or self.reason or "the controller has not seen it yet"


def check_name(name: str, *, new: bool = False) -> str:
    """Return `name` if it is a valid name of a sandbox; the rule for `new` ones is stricter.

    Raises:
        InvalidInput: the name is invalid.
    """
    pattern = _NAME if new else _EXISTING_NAME
    if len(name) <= MAX_NAME and pattern.fullmatch(name):
        return name
    shown = json.dumps(name if len(name) <= 80 else name[:79] + "…", ensure_ascii=False)
    if KEY_PREFIX in name or not shown.isprintable():
        shown = "a key" if KEY_PREFIX in name else "text that cannot be shown"
    raise InvalidInput(
        f"{shown} ({pluralize(len(name), 'character')}) cannot be a sandbox's name",
        advice=f"{_NAME_RULE} For example: my-sandbox.",
    )


def create(name: str, *, image: str | None, port: int) -> Request:
    """Return a request to create a sandbox; the proxy has a default image.

    Raises:
        InvalidInput: the name, the image or the port is invalid.
    """
    check_name(name, new=True)
    if not 1 <= port <= 65535:
        raise InvalidInput(f"port has value {port}", advice="Give a number from 1 to 65535.")
    check_text("The image", image or "")
    body: dict[str, object] = {"name": name, "port": port}
    if image:
        body["image"] = image
    return Request.to_change("create", "POST", path_of("api", "sandboxes"), name, body)


def listing() -> Request:
    """Return a request for all sandboxes of the user."""
    return Request.to_read("list", path_of("api", "sandboxes"))


def status(name: str) -> Request:
    """Return a request for the state of a sandbox."""
    return Request.to_read("status", path_of("api", "sandboxes", check_name(name)), name)


def delete(name: str) -> Request:
    """Return a request to remove a sandbox."""
    path = path_of("api", "sandboxes", check_name(name))
    return Request.to_change("delete", "DELETE", path, name)


def pause(name: str) -> Request:
    """Return a request to stop a sandbox and keep its files in /sandbox."""
    path = path_of("api", "sandboxes", check_name(name), "pause")
    return Request.to_change("pause", "POST", path, name)


def resume(name: str) -> Request:
    """Return a request to start a paused sandbox."""
    path = path_of("api", "sandboxes", check_name(name), "resume")
    return Request.to_change("resume", "POST", path, name)


def read_sandbox(reply: Reply, name: str) -> Sandbox:
    """Read the reply to `status` of the sandbox `name`.

    Raises:
        InvalidResponse: the reply is about another sandbox, or malformed.
    """
    sandbox = _sandbox(as_object(reply.json(), "the sandbox"), reply, whole=True)
    _check_subject(sandbox.name, name)
    return sandbox


def read_listing(reply: Reply) -> list[Sandbox]:
    """Read the reply to `listing`, newest first as the proxy sends it."""
    rows = rows_of(as_object(reply.json(), "the list"), "sandboxes")
    return [_sandbox(as_object(row, "a sandbox of the list"), reply, whole=False) for row in rows]


def read_created(reply: Reply, name: str) -> str:
    """Read the image from the reply to `create` of `name`; empty if the proxy does not report it.

    Raises:
        InvalidResponse: the reply does not report success with the sandbox, or has another one.
    """
    read_done(reply)
    made = as_object(as_object(reply.json(), "the reply").get("sandbox"), "sandbox")
    _check_subject(reply.clean(member(made, "name", str)), name)
    return reply.clean(optional(made, "image"))


def _check_subject(found: str, name: str) -> None:
    if found != name:
        raise InvalidResponse(f"The proxy's reply is about sandbox {as_word(found)}, not '{name}'")


def read_done(reply: Reply) -> None:
    """Check the reply to `delete`, `pause` or `resume`.

    Raises:
        InvalidResponse: the reply does not report success.
    """
    success = as_object(reply.json(), "the reply").get("success")
    if success is False:
        reason = reply.message() or "no reason given"
        raise InvalidResponse(f"The proxy answered {reply.status} without success: {reason}")
    if success is not True:
        raise mismatch("success", "true", success)


def _sandbox(content: Mapping[str, object], reply: Reply, *, whole: bool) -> Sandbox:
    def text(name: str) -> str:
        return reply.clean(optional(content, name))

    created_at = text("createdAt")
    return Sandbox(
        name=reply.clean(member(content, "name", str)),
        ready=member(content, "ready", bool),
        replicas=member(content, "replicas", int) if whole else None,
        reason=text("readyReason"),
        message=text("readyMessage"),
        namespace=text("namespace"),
        service=text("service"),
        created_at=created_at if parse_time(created_at) else "",
    )
