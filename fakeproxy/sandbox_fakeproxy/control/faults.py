"""Faults for selected requests: their conditions, counts and effects."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote

import orjson

from sandbox_fakeproxy.api.operations import (
    OPERATIONS,
    compile_pattern,
    find_pattern,
    methods_of,
)
from sandbox_fakeproxy.http import JsonObject

from .documents import read_list, read_object, reject

# The values of `do`; the README explains them.
IN_PROCESS_ACTIONS = ("hang", "not-json", "html", "large", "wrong-type", "redirect")
PORT_ACTIONS = (
    "reset-before-headers",
    "reset-in-body",
    "drop-after-commit",
    "trickle",
    "truncate",
    "garbage",
)
ACTIONS = (*IN_PROCESS_ACTIONS, *PORT_ACTIONS)

_FIELDS = (
    *("operation", "method", "path", "user", "sandbox"),
    *("skip", "times", "delay", "answer", "do"),
)
# Added by `Faults.armed`, and ignored in documents, so that such a list can be armed again.
_REPORTED = ("hits", "left")
_BODIES = ("body", "text", "base64")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # the name of a method or header field in HTTP
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
_SANDBOX_PATHS = (
    *("/api/sandboxes/{name}", "/api/sandboxes/{name}/{path}"),
    *("/proxy/{name}", "/proxy/{name}/{path}"),
)
_MAX_DELAY = 1e9  # seconds


@dataclass(frozen=True, slots=True)
class FaultResponse:
    """The response that a fault sends instead of the API's."""

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes
    media_type: str | None


@dataclass(frozen=True, slots=True)
class Fault:
    """Conditions for requests, and the effect on the matching ones.

    A request matches if all conditions that are not None hold. The fault skips the first `skip`
    matching requests and acts on the next `times` (None: on all). `delay` is in seconds of the
    fake's clock. Without `response` and `action`, the app handles the request after the delay.
    """

    method: str | None = None
    path: str | None = None
    user: str | None = None
    sandbox: str | None = None
    skip: int = 0
    times: int | None = None
    delay: float = 0.0
    response: FaultResponse | None = None
    action: str | None = None
    document: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def matches(self, method: str, path: str, *, ignores_case: bool) -> bool:
        """Return whether a request has the method, the path and the sandbox of this fault.

        `path` is percent-encoded. With `ignores_case`, the pattern's literal parts match any case.
        """
        accepted = {method, "GET"} if method == "HEAD" else {method}
        if self.method is not None and self.method not in accepted:
            return False
        if self.path is None and self.sandbox is None:
            return True
        for pattern in _SANDBOX_PATHS if self.path is None else [self.path]:
            match = compile_pattern(pattern, ignores_case=ignores_case).fullmatch(path)
            if match is not None:
                return self.sandbox in {None, unquote(match.groupdict().get("name", ""))}
        return False


class Faults:
    """The armed faults, in order: the first that matches a request and is due acts on it.

    `has_port` is true if the fake's own server runs; faults can break only its connections.
    """

    def __init__(self, is_user: Callable[[str], bool]) -> None:
        self.has_port = False
        self._is_user = is_user
        self._armed: list[_ArmedFault] = []

    @property
    def are_armed(self) -> bool:
        """Whether any fault is armed."""
        return bool(self._armed)

    def add(self, **fields: Any) -> None:
        """Arm one more fault, with the fields as in a document: `add(do="hang", times=1)`.

        Raises:
            InvalidDocument: (a `ValueError`) a field is unknown or invalid.
        """
        fault = read_fault(fields, "fault", self._is_user, has_port=self.has_port)
        self._armed.append(_ArmedFault(fault))

    def replace(self, document: object) -> None:
        """Replace all armed faults by those of a document, `{"faults": […]}`.

        Raises:
            InvalidDocument: (a `ValueError`) the document is invalid; the armed faults stay.
        """
        fields = read_object(document, "the document", {"faults"})
        faults = read_faults(fields, self._is_user, has_port=self.has_port, is_required=True)
        self.arm(faults)

    def arm(self, faults: list[Fault]) -> None:
        """Replace all armed faults."""
        self._armed = [_ArmedFault(fault) for fault in faults]

    def clear(self) -> None:
        """Disarm all faults."""
        self._armed = []

    def armed(self) -> list[dict[str, Any]]:
        """Return the armed faults with their fields as given.

        Each also has `hits`, the number of requests on which it has acted, and `left`, the number
        of those on which it will still act; None means no limit.
        """
        return [armed.describe() for armed in self._armed]

    def match(
        self, method: str, path: str, user: Callable[[], str | None], *, ignores_case: bool
    ) -> Fault | None:
        """Count a request for the faults that it matches, and return the one that acts on it.

        `user` returns the name of the user of the request's key; it is called once at most.
        """
        user = cache(user)
        for armed in self._armed:
            fault = armed.fault
            if armed.is_exhausted or (fault.user is not None and fault.user != user()):
                continue
            if fault.matches(method, path, ignores_case=ignores_case) and armed.count_match():
                return fault
        return None


class _ArmedFault:
    """A fault, and the numbers of requests that it matched and on which it acted."""

    __slots__ = ("_hits", "_matches", "fault")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._matches = 0
        self._hits = 0

    @property
    def is_exhausted(self) -> bool:
        return self.fault.times is not None and self._hits >= self.fault.times

    def count_match(self) -> bool:
        """Count a matching request, and return whether the fault acts on it."""
        self._matches += 1
        if self._matches <= self.fault.skip:
            return False
        self._hits += 1
        return True

    def describe(self) -> dict[str, Any]:
        times = self.fault.times
        left = None if times is None else times - self._hits
        return {**self.fault.document, "hits": self._hits, "left": left}


def read_faults(
    fields: JsonObject,
    is_user: Callable[[str], bool],
    *,
    has_port: bool,
    is_required: bool = False,
) -> list[Fault]:
    """Read the list `faults` of a document.

    Raises:
        InvalidDocument: the list or one of its faults is invalid.
    """
    return [
        read_fault(item, location, is_user, has_port=has_port)
        for location, item in read_list(fields, "faults", "faults", is_required=is_required)
    ]


def read_fault(
    value: object, location: str, is_user: Callable[[str], bool], *, has_port: bool
) -> Fault:
    """Read one fault; errors name its location.

    Raises:
        InvalidDocument: it is invalid.
    """
    fields = read_object(value, location, (*_FIELDS, *_REPORTED))
    method, path = _read_target(fields, location)
    user = _read_user(fields, location, is_user)
    delay = _read_delay(fields, location)
    _check_effect(fields, location)
    return Fault(
        method=method,
        path=path,
        user=user,
        sandbox=_read_sandbox(fields, location, path),
        skip=_read_count(fields, location, "skip", 0) or 0,
        times=_read_count(fields, location, "times", 1),
        delay=delay,
        response=_read_response(fields["answer"], f"{location}.answer")
        if "answer" in fields
        else None,
        action=_read_action(fields["do"], f"{location}.do", has_port=has_port)
        if "do" in fields
        else None,
        document={name: item for name, item in fields.items() if name not in _REPORTED},
    )


def _read_target(fields: JsonObject, location: str) -> tuple[str | None, str | None]:
    """Return the method and the path pattern of a fault, each None if it matches all."""
    operation = _optional_text(fields, location, "operation")
    method, path = (
        _optional_text(fields, location, "method"),
        _optional_text(fields, location, "path"),
    )
    if operation is not None:
        if method is not None or path is not None:
            reject(f"{location}.operation", "not with method or path: expected one or the other")
        if operation not in OPERATIONS:
            reject(
                f"{location}.operation",
                f"unknown operation '{operation}'; expected one of: {', '.join(OPERATIONS)}",
            )
        return OPERATIONS[operation]
    if method is not None and not re.fullmatch("[A-Z]+", method):
        reject(f"{location}.method", f"'{method}' is not a method; expected one such as GET")
    if path is None:
        return method, None
    pattern = find_pattern(path)
    if pattern is None:
        reject(
            f"{location}.path",
            f"the API has no path '{path}'; expected a path or a pattern of its routes",
        )
    methods = methods_of(pattern)
    if method is not None and methods is not None and method not in methods:
        expected = ", ".join(sorted(methods))
        reject(
            f"{location}.method", f"{path} has no method '{method}'; expected one of: {expected}"
        )
    return method, path


def _read_user(fields: JsonObject, location: str, is_user: Callable[[str], bool]) -> str | None:
    user = _optional_text(fields, location, "user")
    if user is not None and not is_user(user):
        reject(f"{location}.user", f"there is no user '{user}'")
    return user


def _read_delay(fields: JsonObject, location: str) -> float:
    delay = fields.get("delay", 0)
    if isinstance(delay, bool) or not isinstance(delay, (int, float)):
        reject(f"{location}.delay", "expected seconds, a number")
    if not 0 <= delay <= _MAX_DELAY:
        reject(f"{location}.delay", f"expected 0 to {_MAX_DELAY:,.0f} seconds")
    return float(delay)


def _check_effect(fields: JsonObject, location: str) -> None:
    if not fields.keys() & {"answer", "do", "delay"}:
        reject(location, "expected answer, do or delay: the fault has no effect")
    if "answer" in fields and "do" in fields:
        reject(f"{location}.do", "not with answer: expected one of the two")


def _read_sandbox(fields: JsonObject, location: str, path: str | None) -> str | None:
    sandbox = _optional_text(fields, location, "sandbox")
    if sandbox is not None and path is not None and "{name}" not in path:
        reject(f"{location}.sandbox", f"the path {path} does not contain a sandbox's name")
    return sandbox


def _read_count(fields: JsonObject, location: str, name: str, minimum: int) -> int | None:
    value = fields.get(name)
    if value is not None and (type(value) is not int or value < minimum):
        reject(f"{location}.{name}", f"expected a whole number, {minimum} or more")
    return value


def _read_action(value: object, location: str, *, has_port: bool) -> str:
    if not isinstance(value, str) or value not in ACTIONS:
        reject(location, f"expected one of: {', '.join(ACTIONS)}")
    if value in PORT_ACTIONS and not has_port:
        reject(
            location,
            f"'{value}' breaks a connection, and a fake in process has none; use the fixture"
            " fake_proxy_server or sandbox-fakeproxy serve",
        )
    return value


def _read_response(value: object, location: str) -> FaultResponse:
    fields = read_object(value, location, ("status", "headers", *_BODIES))
    status = fields.get("status", 200)
    if type(status) is not int or not 200 <= status <= 599:
        reject(f"{location}.status", "expected 200 to 599")
    content, media_type = _read_content(fields, location)
    if content and status in {204, 304}:
        reject(f"{location}.status", f"{status} has no body")
    return FaultResponse(status, _read_headers(fields, location), content, media_type)


def _read_content(fields: JsonObject, location: str) -> tuple[bytes, str | None]:
    bodies = [name for name in _BODIES if name in fields]
    if len(bodies) > 1:
        reject(f"{location}.{bodies[1]}", f"not with {bodies[0]}: expected one body")
    if "body" in fields:
        try:
            return orjson.dumps(fields["body"]), "application/json; charset=utf-8"
        except TypeError:
            reject(f"{location}.body", "expected JSON with numbers of at most 64 bits")
    if "text" in fields:
        try:
            return (_optional_text(fields, location, "text") or "").encode(), "text/plain"
        except UnicodeEncodeError:
            reject(f"{location}.text", "expected text that UTF-8 can hold")
    try:
        encoded = _optional_text(fields, location, "base64") or ""
        return base64.b64decode(encoded, validate=True), None
    except (binascii.Error, ValueError):
        reject(f"{location}.base64", "expected base64")


def _read_headers(fields: JsonObject, location: str) -> tuple[tuple[str, str], ...]:
    headers = fields.get("headers", {})
    if not isinstance(headers, dict):
        reject(f"{location}.headers", "expected an object")
    pairs: list[tuple[str, str]] = []
    for name, value in headers.items():  # pyright: ignore[reportUnknownVariableType]  # JSON
        header_location = f"{location}.headers.{name}"
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            reject(header_location, "expected the name of a header field")
        if name.lower() in _FRAMING:
            reject(
                header_location, "the server sets it; expected another field, or a fault with do"
            )
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            reject(header_location, "expected text without line breaks")
        pairs.append((name, value))
    return tuple(pairs)


def _optional_text(fields: JsonObject, location: str, name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        reject(f"{location}.{name}", "expected text")
    return value
