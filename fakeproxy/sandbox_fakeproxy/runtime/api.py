"""The form of the AIO runtime's HTTP API: routes, and the wrapper of answers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox_fakeproxy.errors import Refusal
from sandbox_fakeproxy.http import is_json, parse_json

JsonObject = dict[str, Any]
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
    except Refusal as exc:
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
