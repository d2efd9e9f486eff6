"""What the deployed proxy makes of a request on its way to the runtime, and of the answer."""

from urllib.parse import quote, unquote, urljoin, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox_fakeproxy._errors import Fault, Refusal
from sandbox_fakeproxy._http import is_json, read_body
from sandbox_fakeproxy._proxy.delivery import FORWARDED_LIMIT, Ask, parsed, request_of

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})
_MOST_REDIRECTS = 20  # as fetch has it
_BODILESS = frozenset({"GET", "HEAD"})


async def read_rewritten(request: Request) -> Request:
    """Decode the path once, drop query and headers, and send JSON whatever came."""
    body = await read_body(request, FORWARDED_LIMIT)
    says_json = is_json(request.headers.get("content-type", ""))
    path, _, query = unquote("/" + request.path_params["path"]).partition("?")
    return _json_request(request.method, path, query, body if body and says_json else b"{}")


async def followed(answer: Response, sent: Request, again: Ask) -> Response:
    """Follow redirects, and pass JSON on with its status alone.

    Raises:
        Refusal: what came is no JSON, or redirects without end.
    """
    for _ in range(_MOST_REDIRECTS):
        if answer.status_code not in _REDIRECTS or "location" not in answer.headers:
            return _json_alone(answer, sent)
        sent = await _redirected(sent, answer)
        answer = await again(sent)
    raise Refusal(502, "The sandbox redirects without end", Fault.UNREACHABLE)


def _json_alone(answer: Response, sent: Request) -> Response:
    if sent.method == "HEAD":
        raise Refusal(502, "The sandbox has answered without a body", Fault.NO_JSON)
    return JSONResponse(parsed(answer), answer.status_code)


async def _redirected(sent: Request, answer: Response) -> Request:
    target = urlsplit(urljoin(str(sent.url), answer.headers["location"]))
    keeps = answer.status_code in _KEEP_METHOD or sent.method == "HEAD"
    method = sent.method if keeps else "GET"
    return _json_request(method, unquote(target.path), target.query, await sent.body())


def _json_request(method: str, path: str, query: str, body: bytes) -> Request:
    """Make a request of a decoded path."""
    return request_of(
        method,
        quote(path.removesuffix("/") or "/"),
        query=query.encode(),
        headers=[(b"content-type", b"application/json")],
        body=b"" if method in _BODILESS else body,
    )
