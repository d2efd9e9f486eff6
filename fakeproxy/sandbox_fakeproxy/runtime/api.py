"""The conventions of the AIO runtime's HTTP API: routing, request fields and response envelope.

The fields of a request are read one by one, and all their issues are reported in one response. An
optional field that is null has its default, as in the runtime's own OpenAPI description. A string
that spells a number or a boolean is accepted as one, as FastAPI does.
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
Handler = Callable[[Request], Awaitable[Response]]
Routes = Mapping[str, Mapping[str, Handler]]  # the handlers of each path by method

_MAX_SECONDS = 1e9
_FRACTION_MESSAGE = "Input should be a valid integer, got a number with a fractional part"
_TRUE_WORDS = {"1", "on", "t", "true", "y", "yes"}
_FALSE_WORDS = {"0", "off", "f", "false", "n", "no"}


class Unprocessable(Exception):
    """A request with invalid fields: the 422 response, with every issue in FastAPI's shape."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__(*issues)
        self.issues = list(issues)


def envelope(
    message: str,
    data: Any,
    *,
    success: bool = True,
    status: int = 200,
    hint: str | None = None,
) -> Response:
    """Return a response in the runtime's envelope.

    `success` is that of the API call: it is true also for a command that failed.
    """
    body = {"success": success, "message": message, "data": data, "hint": hint}
    # A response can hold 10 MB of output twice, and the json module would block the event loop.
    return Response(orjson.dumps(body), status, media_type="application/json")


def issue(field: str, message: str, error_type: str) -> Issue:
    """Return FastAPI's description of an error in a field of the body."""
    return {"loc": ["body", field], "msg": message, "type": error_type}


async def read_fields(request: Request) -> JsonObject:
    """Return the JSON object in a request's body; {} without a body, or with another content type.

    Raises:
        Unprocessable: the body is not a JSON object.
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
        return {str(name): field for name, field in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    message = "Input should be a valid dictionary"
    raise Unprocessable({"loc": ["body"], "msg": message, "type": "model_attributes_type"})


async def route(request: Request, routes: Routes) -> Response | None:
    """Call the handler of a request's path and method; return None if no path matches.

    HEAD calls the handler of GET, and the proxy drops the body. A method without a handler gets
    FastAPI's 405. `{id}` as the last or last but one segment of a route matches any that is not
    empty; an exact route takes precedence.
    """
    method = "GET" if request.method == "HEAD" else request.method
    path: str = request.scope["path"]
    parent, _, last = path.rpartition("/")
    grandparent, _, last_but_one = parent.rpartition("/")
    candidates = (
        (path, last),
        (f"{parent}/{{id}}", last),
        (f"{grandparent}/{{id}}/{last}", last_but_one),
    )
    matches = [
        (routes[template], id_) for template, id_ in candidates if template in routes and id_
    ]
    if not matches:
        return None
    for handlers, id_ in matches:
        if method in handlers:
            request.scope["path_params"] = {"id": id_}
            return await _call(handlers[method], request)
    allowed = ", ".join(method for handlers, _ in matches for method in handlers)
    return JSONResponse({"detail": "Method Not Allowed"}, 405, {"allow": allowed})


async def _call(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except Unprocessable as exc:
        return JSONResponse({"detail": exc.issues}, 422)


class BodyFields:
    """The fields of a JSON body.

    Each method reads one field and records an issue if it is invalid, so a value may be used only
    after `check` has returned.
    """

    def __init__(self, fields: JsonObject) -> None:
        self._fields = fields
        self._issues: list[Issue] = []

    def text(self, name: str, *, min_length: int = 0) -> str:
        """Return a required string of at least `min_length` characters."""
        value = self._fields.get(name)
        if name not in self._fields:
            self.add_issue(name, "Field required", "missing")
        elif not isinstance(value, str):
            self.add_issue(name, "Input should be a valid string", "string_type")
        elif len(value) < min_length:
            message = f"String should have at least {min_length} character"
            self.add_issue(name, message, "string_too_short")
        else:
            return value
        return ""

    def optional_text(self, name: str) -> str | None:
        """Return an optional string."""
        return None if self._fields.get(name) is None else self.text(name)

    def path_segment(self, name: str) -> str | None:
        """Return an optional string that can be one segment of a URL's path."""
        value = self._fields.get(name)
        if isinstance(value, str) and (value in {"", ".", ".."} or "/" in value):
            message = "Input should not be empty, '.' or '..', or hold '/': it is part of a URL"
            self.add_issue(name, message, "value_error")
        return self.optional_text(name)

    def directory(self, name: str) -> str | None:
        """Return an optional absolute path, normalized."""
        path = self._fields.get(name)
        if isinstance(path, str) and path.startswith("/") and "\0" not in path:
            return posixpath.normpath("/" + path.lstrip("/"))
        if path is not None:
            self.add_issue(name, "Input should be an absolute path", "value_error")
        return None

    def required_flag(self, name: str) -> bool:
        """Return a required boolean."""
        if self._fields.get(name) is None:
            self.add_issue(name, "Field required", "missing")
        return self.flag(name)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean, or `default` if the field is missing or null."""
        value = self._fields.get(name)
        if value is None:
            return default
        word = str(value).lower() if isinstance(value, str | int) else ""
        if word not in _TRUE_WORDS | _FALSE_WORDS:
            self.add_issue(name, "Input should be a valid boolean", "bool_type")
        return word in _TRUE_WORDS

    def number(self, name: str, *, minimum: int) -> int | None:
        """Return an optional integer of at least `minimum`."""
        value = _parse_number(self._fields.get(name), int)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, float):
            self.add_issue(name, _FRACTION_MESSAGE, "int_from_float")
        elif isinstance(value, bool) or not isinstance(value, int):
            self.add_issue(name, "Input should be a valid integer", "int_type")
        elif value < minimum:
            message = f"Input should be greater than or equal to {minimum}"
            self.add_issue(name, message, "greater_than_equal")
        else:
            return value
        return None

    def seconds(self, name: str, *, allow_zero: bool = False) -> float | None:
        """Return an optional duration in seconds."""
        value = _parse_number(self._fields.get(name), float)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or _is_nan(value):
            self.add_issue(name, "Input should be a valid number", "float_type")
        elif value < 0 and allow_zero:
            self.add_issue(name, "Input should be greater than or equal to 0", "greater_than_equal")
        elif value <= 0 and not allow_zero:
            self.add_issue(name, "Input should be greater than 0", "greater_than")
        elif value > _MAX_SECONDS:
            message = f"Input should be less than or equal to {_MAX_SECONDS:.0f}"
            self.add_issue(name, message, "less_than_equal")
        else:
            return value
        return None

    def whole_seconds(self, name: str) -> float | None:
        """Return an optional duration in whole seconds."""
        seconds = self.seconds(name)
        if seconds is None or seconds == int(seconds):
            return seconds
        self.add_issue(name, _FRACTION_MESSAGE, "int_from_float")
        return None

    def choice(self, name: str, *choices: str) -> str:
        """Return one of `choices`; the first if the field is missing or null."""
        value = self._fields.get(name)
        if value is None:
            return choices[0]
        if value not in choices:
            quoted = ", ".join(f"'{choice}'" for choice in choices)
            self.add_issue(name, f"Input should be one of {quoted}", "enum")
        return str(value)

    def texts(self, name: str) -> Collection[str] | None:
        """Return an optional list of strings."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, list):
            texts = [item for item in value if isinstance(item, str)]  # pyright: ignore[reportUnknownVariableType]  # JSON
            if len(texts) == len(value):  # pyright: ignore[reportUnknownArgumentType]  # JSON
                return texts
        self.add_issue(name, "Input should be a valid list of strings", "list_type")
        return None

    def variables(self, name: str) -> Mapping[str, str]:
        """Return environment variables, an optional object of strings."""
        value = self._fields.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.add_issue(name, "Input should be a valid dictionary", "dict_type")
            return {}
        variables: dict[str, str] = {}
        for key, text in value.items():  # pyright: ignore[reportUnknownVariableType]  # JSON
            if not isinstance(key, str) or not isinstance(text, str):
                self.add_issue(name, "Input should be a valid string", "string_type")
            elif not key or "=" in key or "\0" in key + text:
                message = "No environment variable has such a name or value"
                self.add_issue(name, message, "value_error")
            else:
                variables[key] = text
        return variables

    def add_issue(self, name: str, message: str, error_type: str) -> None:
        """Record an error in a field, which `check` will raise."""
        self._issues.append(issue(name, message, error_type))

    def check(self) -> None:
        """Raise the issues of all fields that were read.

        Raises:
            Unprocessable: at least one field is invalid.
        """
        if self._issues:
            raise Unprocessable(*self._issues)


def _parse_number(value: object, parse: Callable[[str], float]) -> object:
    """Return the number that a string spells; any other value unchanged."""
    if isinstance(value, str):
        with suppress(ValueError):
            return parse(value)
    return value


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
