"""The form of the AIO runtime's HTTP API: routes, fields of bodies, and the wrapper of answers.

The fields of a request are read one by one and refused all at once. An optional field that is null
has its default, as in the runtime's own description. A text that spells a number or a truth value
is one, as FastAPI takes it.
"""

import math
import posixpath
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox_fakeproxy.errors import APIError
from sandbox_fakeproxy.http import JsonObject, is_json, parse_json

Issue = dict[str, Any]


class Unprocessable(Exception):
    """A request that does not fit, with all that is wrong with it in FastAPI's shape."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__(*issues)
        self.issues = list(issues)


def done(
    message: str,
    data: Any,
    *,
    success: bool = True,
    status: int = 200,
    hint: str | None = None,
) -> Response:
    """Wrap an answer as the runtime does; a command that failed is a success of the API."""
    body = {"success": success, "message": message, "data": data, "hint": hint}
    # Output of 10 MB is in an answer twice: the json module would hold up the event loop for long.
    return Response(orjson.dumps(body), status, media_type="application/json")


def issue(field: str, message: str, kind: str) -> Issue:
    """Describe an error in a field of the body."""
    return {"loc": ["body", field], "msg": message, "type": kind}


async def read_fields(request: Request) -> JsonObject:
    """Read a JSON body; none, or another content type, is an empty one.

    Raises:
        Unprocessable: it is no JSON object.
    """
    body = await request.body()
    if not body or not is_json(request.headers.get("content-type", "")):
        return {}
    try:
        value = parse_json(body)
    except APIError as exc:
        raise Unprocessable(
            {"loc": ["body", 0], "msg": "JSON decode error", "type": "json_invalid"}
        ) from exc
    if isinstance(value, dict):
        return {str(name): each for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    message = "Input should be a valid dictionary"
    raise Unprocessable({"loc": ["body"], "msg": message, "type": "model_attributes_type"})


Handler = Callable[[Request], Awaitable[Response]]


Routes = Mapping[str, Mapping[str, Handler]]


async def route(request: Request, routes: Routes) -> Response | None:
    """Answer by path and method; return None for a path that does not exist.

    HEAD calls the handler of GET; the proxy leaves the body out. Another method is 405, as FastAPI
    answers it. A path that ends in `/{id}` matches any last segment without a path of its own.
    """
    method = "GET" if request.method == "HEAD" else request.method
    path: str = request.scope["path"]
    parent, _, last = path.rpartition("/")
    found = [routes[each] for each in (path, f"{parent}/{{id}}") if each in routes and last]
    if not found:
        return None
    for methods in found:
        if method in methods:
            request.scope["path_params"] = {"id": last}
            return await _answer(request, methods[method])
    allowed = ", ".join(method for methods in found for method in methods)
    return JSONResponse({"detail": "Method Not Allowed"}, 405, {"allow": allowed})


async def _answer(request: Request, handler: Handler) -> Response:
    try:
        return await handler(request)
    except Unprocessable as exc:
        return JSONResponse({"detail": exc.issues}, 422)


_MOST_SECONDS = 1e9
_FRACTION = "Input should be a valid integer, got a number with a fractional part"
_TRUE = {"1", "on", "t", "true", "y", "yes"}
_FALSE = {"0", "off", "f", "false", "n", "no"}


class BodyFields:
    """The fields of a JSON body. Returned values are valid only after `check`."""

    def __init__(self, fields: JsonObject) -> None:
        self._fields = fields
        self._issues: list[Issue] = []

    def text(self, name: str, *, least: int = 0) -> str:
        """Return a text that must be there, with at least so many characters."""
        value = self._fields.get(name)
        if name not in self._fields:
            self.refuse(name, "Field required", "missing")
        elif not isinstance(value, str):
            self.refuse(name, "Input should be a valid string", "string_type")
        elif len(value) < least:
            self.refuse(name, f"String should have at least {least} character", "string_too_short")
        else:
            return value
        return ""

    def optional_text(self, name: str) -> str | None:
        """Return a text, if there is one."""
        return None if self._fields.get(name) is None else self.text(name)

    def segment(self, name: str) -> str | None:
        """Return a text that can be a part of a URL's path, if there is one."""
        value = self._fields.get(name)
        if isinstance(value, str) and (value in {"", ".", ".."} or "/" in value):
            message = "Input should not be empty, '.' or '..', or hold '/': it is part of a URL"
            self.refuse(name, message, "value_error")
        return self.optional_text(name)

    def directory(self, name: str) -> str | None:
        """Return an absolute path, if there is one."""
        path = self._fields.get(name)
        if isinstance(path, str) and path.startswith("/") and "\0" not in path:
            return posixpath.normpath("/" + path.lstrip("/"))
        if path is not None:
            self.refuse(name, "Input should be an absolute path", "value_error")
        return None

    def required_flag(self, name: str) -> bool:
        """Return a truth value that must be there."""
        if self._fields.get(name) is None:
            self.refuse(name, "Field required", "missing")
        return self.flag(name)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a truth value."""
        value = self._fields.get(name)
        if value is None:
            return default
        spelt = str(value).lower() if isinstance(value, str | int) else ""
        if spelt not in _TRUE | _FALSE:
            self.refuse(name, "Input should be a valid boolean", "bool_type")
        return spelt in _TRUE

    def number(self, name: str, *, least: int) -> int | None:
        """Return a whole number, if there is one."""
        value = _spelt(self._fields.get(name), int)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, float):
            self.refuse(name, _FRACTION, "int_from_float")
        elif isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, "Input should be a valid integer", "int_type")
        elif value < least:
            message = f"Input should be greater than or equal to {least}"
            self.refuse(name, message, "greater_than_equal")
        else:
            return value
        return None

    def seconds(self, name: str, *, or_none_at_all: bool = False) -> float | None:
        """Return a length of time, if there is one; 0 only where that means something."""
        value = _spelt(self._fields.get(name), float)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or _is_nan(value):
            self.refuse(name, "Input should be a valid number", "float_type")
        elif value < 0 and or_none_at_all:
            self.refuse(name, "Input should be greater than or equal to 0", "greater_than_equal")
        elif value <= 0 and not or_none_at_all:
            self.refuse(name, "Input should be greater than 0", "greater_than")
        elif value > _MOST_SECONDS:
            message = f"Input should be less than or equal to {_MOST_SECONDS:.0f}"
            self.refuse(name, message, "less_than_equal")
        else:
            return value
        return None

    def whole_seconds(self, name: str) -> float | None:
        """Return a length of time in whole seconds, if there is one."""
        seconds = self.seconds(name)
        if seconds is None or seconds == int(seconds):
            return seconds
        self.refuse(name, _FRACTION, "int_from_float")
        return None

    def choice(self, name: str, *choices: str) -> str:
        """Return one of some texts, the first by default."""
        value = self._fields.get(name)
        if value is None:
            return choices[0]
        if value not in choices:
            listed = ", ".join(f"'{each}'" for each in choices)
            self.refuse(name, f"Input should be one of {listed}", "enum")
        return str(value)

    def texts(self, name: str) -> Collection[str] | None:
        """Return a list of texts, if there is one."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, list):
            texts = [each for each in value if isinstance(each, str)]  # pyright: ignore[reportUnknownVariableType]  # JSON
            if len(texts) == len(value):  # pyright: ignore[reportUnknownArgumentType]  # JSON
                return texts
        self.refuse(name, "Input should be a valid list of strings", "list_type")
        return None

    def refuse(self, name: str, message: str, kind: str) -> None:
        """Note an error in a field."""
        self._issues.append(issue(name, message, kind))

    def check(self) -> None:
        """Refuse the request if any of the fields does not fit.

        Raises:
            Unprocessable: with every issue.
        """
        if self._issues:
            raise Unprocessable(*self._issues)


def _spelt(value: object, kind: Callable[[str], float]) -> object:
    """Return the number that a text spells, and anything else as it is."""
    if isinstance(value, str):
        with suppress(ValueError):
            return kind(value)
    return value


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
