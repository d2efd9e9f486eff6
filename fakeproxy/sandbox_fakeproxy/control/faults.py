"""Faults for chosen requests: their conditions, their counts and their effects."""

import base64
import binascii
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
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

from .documents import read_list, read_object, refuse

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
_REPORTED = ("hits", "left")  # added to the armed faults in a list, which can be armed again
_BODIES = ("body", "text", "base64")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a method's or header field's name in HTTP
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
_PATHS_OF_A_SANDBOX = (
    *("/api/sandboxes/{name}", "/api/sandboxes/{name}/{path}"),
    *("/proxy/{name}", "/proxy/{name}/{path}"),
)
_LONGEST_DELAY = 1e9  # seconds


@dataclass(frozen=True, slots=True)
class FaultAnswer:
    """The response that a fault sends in place of the API's."""

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes
    media_type: str | None


@dataclass(frozen=True, slots=True)
class Fault:
    """Conditions for requests, and the effect on those that fulfil them.

    Every condition that is not None has to hold. Of the requests for which all do, the first `skip`
    pass, and the next `times` (None: all of them) meet the fault. `delay` is in seconds of the
    fake's clock. Without `answer` and `action`, the request is answered as usual after the delay.
    """

    method: str | None = None
    path: str | None = None
    user: str | None = None
    sandbox: str | None = None
    skip: int = 0
    times: int | None = None
    delay: float = 0.0
    answer: FaultAnswer | None = None
    action: str | None = None
    document: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def meets(self, method: str, path: str, *, ignores_case: bool) -> bool:
        """Tell whether a request has the method and the path of this fault.

        `path` is percent-encoded. With `ignores_case`, its literal parts match in any case.
        """
        accepted = {method, "GET"} if method == "HEAD" else {method}
        if self.method is not None and self.method not in accepted:
            return False
        if self.path is None and self.sandbox is None:
            return True
        for pattern in _PATHS_OF_A_SANDBOX if self.path is None else [self.path]:
            found = compile_pattern(pattern, ignores_case=ignores_case).fullmatch(path)
            if found is not None:
                return self.sandbox in {None, unquote(found.groupdict().get("name", ""))}
        return False


class Faults:
    """The armed faults, in order: the first that meets a request and is due acts on it.

    `has_port` says whether the fake's own server runs, whose connections a fault can break.
    """

    def __init__(self, usernames: Callable[[], Container[str]]) -> None:
        self.has_port = False
        self._usernames = usernames
        self._armed: list[_Armed] = []

    @property
    def are_armed(self) -> bool:
        """Tell whether there is any armed fault."""
        return bool(self._armed)

    def add(self, **fields: Any) -> None:
        """Arm one more fault, with the fields of the document: `add(do="hang", times=1)`.

        Raises:
            InvalidDocument: (a `ValueError`) a field is unknown or wrong.
        """
        fault = read_fault(fields, "fault", self._usernames(), has_port=self.has_port)
        self._armed.append(_Armed(fault))

    def replace(self, document: object) -> None:
        """Arm exactly the faults of a document, `{"faults": […]}`.

        Raises:
            InvalidDocument: (a `ValueError`) the document is wrong; the faults stay as they are.
        """
        fields = read_object(document, "the document", {"faults"})
        faults = read_faults(fields, self._usernames(), has_port=self.has_port, is_required=True)
        self.arm(faults)

    def arm(self, faults: list[Fault]) -> None:
        """Arm exactly these faults."""
        self._armed = [_Armed(fault) for fault in faults]

    def clear(self) -> None:
        """Disarm all faults."""
        self._armed = []

    def armed(self) -> list[dict[str, Any]]:
        """Return the armed faults as they were given.

        Each also has `hits`, the number of requests that it has met, and `left`, how many more it
        will meet; None is without end.
        """
        return [each.describe() for each in self._armed]

    def take(
        self, method: str, path: str, user: Callable[[], str | None], *, ignores_case: bool
    ) -> Fault | None:
        """Count a request, and return the fault that acts on it.

        `user` returns the name of the user of the request's key.
        """
        for each in self._armed:
            if each.is_spent or not each.fault.meets(method, path, ignores_case=ignores_case):
                continue
            if each.fault.user is not None and each.fault.user != user():
                continue
            if each.is_due():
                return each.fault
        return None


class _Armed:
    """A fault with the number of requests that it has met."""

    __slots__ = ("_hits", "_seen", "fault")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._seen = 0
        self._hits = 0

    @property
    def is_spent(self) -> bool:
        return self.fault.times is not None and self._hits >= self.fault.times

    def is_due(self) -> bool:
        """Count a request, and tell whether the fault acts on it."""
        self._seen += 1
        if self._seen <= self.fault.skip:
            return False
        self._hits += 1
        return True

    def describe(self) -> dict[str, Any]:
        times = self.fault.times
        left = None if times is None else times - self._hits
        return {**self.fault.document, "hits": self._hits, "left": left}


def read_faults(
    fields: JsonObject, usernames: Container[str], *, has_port: bool, is_required: bool = False
) -> list[Fault]:
    """Read the list `faults` of a document.

    Raises:
        InvalidDocument: it is wrong.
    """
    return [
        read_fault(each, at, usernames, has_port=has_port)
        for at, each in read_list(fields, "faults", "faults", is_required=is_required)
    ]


def read_fault(value: object, at: str, usernames: Container[str], *, has_port: bool) -> Fault:
    """Read one fault; errors name `at`.

    Raises:
        InvalidDocument: it is wrong.
    """
    fields = read_object(value, at, (*_FIELDS, *_REPORTED))
    method, path = _read_target(fields, at)
    user = _optional_text(fields, at, "user")
    if user is not None and user not in usernames:
        refuse(f"{at}.user", f"there is no user '{user}'")
    delay = fields.get("delay", 0)
    if isinstance(delay, bool) or not isinstance(delay, (int, float)):
        refuse(f"{at}.delay", "expected seconds, a number")
    if not 0 <= delay <= _LONGEST_DELAY:
        refuse(f"{at}.delay", f"expected 0 to {_LONGEST_DELAY:,.0f} seconds")
    if not fields.keys() & {"answer", "do", "delay"}:
        refuse(at, "expected answer, do or delay: the fault has no effect")
    if "answer" in fields and "do" in fields:
        refuse(f"{at}.do", "not with answer: expected one of the two")
    return Fault(
        method=method,
        path=path,
        user=user,
        sandbox=_read_sandbox(fields, at, path),
        skip=_read_count(fields, at, "skip", 0) or 0,
        times=_read_count(fields, at, "times", 1),
        delay=float(delay),
        answer=_read_answer(fields["answer"], f"{at}.answer") if "answer" in fields else None,
        action=_read_action(fields["do"], f"{at}.do", has_port=has_port)
        if "do" in fields
        else None,
        document={name: each for name, each in fields.items() if name not in _REPORTED},
    )


def _read_target(fields: JsonObject, at: str) -> tuple[str | None, str | None]:
    """Return the method and the path pattern."""
    operation = _optional_text(fields, at, "operation")
    method, path = _optional_text(fields, at, "method"), _optional_text(fields, at, "path")
    if operation is not None:
        if method is not None or path is not None:
            refuse(f"{at}.operation", "not with method or path: expected one of the two ways")
        if operation not in OPERATIONS:
            refuse(
                f"{at}.operation",
                f"unknown operation '{operation}'; expected one of: {', '.join(OPERATIONS)}",
            )
        return OPERATIONS[operation]
    if method is not None and not re.fullmatch("[A-Z]+", method):
        refuse(f"{at}.method", f"'{method}' is no method; expected one such as GET")
    if path is None:
        return method, None
    pattern = find_pattern(path)
    if pattern is None:
        refuse(f"{at}.path", f"the API has no path '{path}'; expected one as its routes have it")
    methods = methods_of(pattern)
    if method is not None and methods is not None and method not in methods:
        expected = ", ".join(sorted(methods))
        refuse(f"{at}.method", f"{path} has no method '{method}'; expected one of: {expected}")
    return method, path


def _read_sandbox(fields: JsonObject, at: str, path: str | None) -> str | None:
    sandbox = _optional_text(fields, at, "sandbox")
    if sandbox is not None and path is not None and "{name}" not in path:
        refuse(f"{at}.sandbox", f"the path {path} does not contain a sandbox's name")
    return sandbox


def _read_count(fields: JsonObject, at: str, name: str, least: int) -> int | None:
    value = fields.get(name)
    if value is not None and (type(value) is not int or value < least):
        refuse(f"{at}.{name}", f"expected a whole number, {least} or more")
    return value


def _read_action(value: object, at: str, *, has_port: bool) -> str:
    if not isinstance(value, str) or value not in ACTIONS:
        refuse(at, f"expected one of: {', '.join(ACTIONS)}")
    if value in PORT_ACTIONS and not has_port:
        refuse(
            at,
            f"'{value}' happens to a connection, and a fake in process has none; use the fixture"
            " fake_proxy_server or sandbox-fakeproxy serve",
        )
    return value


def _read_answer(value: object, at: str) -> FaultAnswer:
    fields = read_object(value, at, ("status", "headers", *_BODIES))
    status = fields.get("status", 200)
    if type(status) is not int or not 200 <= status <= 599:
        refuse(f"{at}.status", "expected 200 to 599")
    content, media_type = _read_content(fields, at)
    if content and status in {204, 304}:
        refuse(f"{at}.status", f"{status} has no body")
    return FaultAnswer(status, _read_headers(fields, at), content, media_type)


def _read_content(fields: JsonObject, at: str) -> tuple[bytes, str | None]:
    given = [name for name in _BODIES if name in fields]
    if len(given) > 1:
        refuse(f"{at}.{given[1]}", f"not with {given[0]}: expected one body")
    if "body" in fields:
        try:
            return orjson.dumps(fields["body"]), "application/json; charset=utf-8"
        except TypeError:
            refuse(f"{at}.body", "expected JSON with numbers of at most 64 bits")
    if "text" in fields:
        try:
            return (_optional_text(fields, at, "text") or "").encode(), "text/plain"
        except UnicodeEncodeError:
            refuse(f"{at}.text", "expected text that UTF-8 can hold")
    try:
        encoded = _optional_text(fields, at, "base64") or ""
        return base64.b64decode(encoded, validate=True), None
    except (binascii.Error, ValueError):
        refuse(f"{at}.base64", "expected base64")


def _read_headers(fields: JsonObject, at: str) -> tuple[tuple[str, str], ...]:
    headers = fields.get("headers", {})
    if not isinstance(headers, dict):
        refuse(f"{at}.headers", "expected an object")
    read: list[tuple[str, str]] = []
    for name, value in headers.items():  # pyright: ignore[reportUnknownVariableType]  # JSON
        where = f"{at}.headers.{name}"
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            refuse(where, "expected the name of a header field")
        if name.lower() in _FRAMING:
            refuse(where, "the server sends it; expected another field, or a fault with do")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            refuse(where, "expected text without line breaks")
        read.append((name, value))
    return tuple(read)


def _optional_text(fields: JsonObject, at: str, name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        refuse(f"{at}.{name}", "expected text")
    return value
