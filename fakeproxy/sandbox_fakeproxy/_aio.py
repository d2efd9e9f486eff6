"""The AIO runtime's HTTP API: which path does what, and how its answers are wrapped."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ._errors import Refusal
from ._http import is_json, parse_json

JsonObject = dict[str, Any]
Issue = dict[str, Any]


class Unprocessable(Exception):
    """A request that does not fit, with all that is wrong with it in FastAPI's shape."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__(*issues)
        self.issues = list(issues)


def done(message: str, data: Any, *, success: bool = True, status: int = 200) -> Response:
    """Wrap an answer as the runtime does; a command that failed is a success of the API."""
    return JSONResponse(
        {"success": success, "message": message, "data": data, "hint": None}, status
    )


def issue(field: str, message: str, kind: str) -> Issue:
    """Say what is wrong with a field of the body."""
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
    except Refusal as exc:
        raise Unprocessable(
            {"loc": ["body", 0], "msg": "JSON decode error", "type": "json_invalid"}
        ) from exc
    if isinstance(value, dict):
        return {str(name): each for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    message = "Input should be a valid dictionary"
    raise Unprocessable({"loc": ["body"], "msg": message, "type": "model_attributes_type"})


Handler = Callable[[Request], Awaitable[Response]]


async def route(request: Request, routes: Mapping[str, Mapping[str, Handler]]) -> Response | None:
    """Answer by path and method, as FastAPI does; None for a path that is not there."""
    methods = routes.get(request.scope["path"])
    if methods is None:
        return None
    handler = methods.get(request.method)
    if handler is None:
        return JSONResponse({"detail": "Method Not Allowed"}, 405, {"allow": ", ".join(methods)})
    try:
        return await handler(request)
    except Unprocessable as exc:
        return JSONResponse({"detail": exc.issues}, 422)
