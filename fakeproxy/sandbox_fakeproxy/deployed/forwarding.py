"""How the deployed proxy changes a request to the runtime, and the answer."""

import json
from urllib.parse import quote, unquote, urljoin, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox_fakeproxy.api.forwarding import Ask, Forwarding, Outbound, parsed, request_of
from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import decode, json_body, read_body

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# As fetch has it: which redirects make GET of which method.
_ALWAYS_AS_GET = frozenset({303})
_AS_GET = {"POST": frozenset({301, 302, 303}), "HEAD": frozenset[int]()}
_MOST_REDIRECTS = 20  # as fetch has it
_BODILESS = frozenset({"GET", "HEAD"})


class DeployedForwarding(Forwarding):
    """Forward as the deployed proxy does."""

    async def read(self, request: Request) -> Outbound:
        """Decode the path once, drop query and headers, and send any body as JSON."""
        value = json_body(request.headers, await read_body(request))
        segments = request.path_params["path"].split("/")
        path, _, query = "/".join(["", *map(decode, segments)]).partition("?")
        return _json_request(request.method, path, query, json.dumps(value).encode())

    async def deliver(self, answer: Response, sent: Outbound, again: Ask) -> Response:
        """Follow redirects, and pass JSON on with its status alone.

        Raises:
            APIError: the answer is no JSON, or redirects do not end.
        """
        for _ in range(_MOST_REDIRECTS):
            if answer.status_code not in _REDIRECTS or "location" not in answer.headers:
                return _json_alone(answer, sent)
            sent = _redirected(sent, answer)
            answer = await again(sent)
        raise APIError(502, "The sandbox redirects without end", Quirk.UNREACHABLE)


def _json_alone(answer: Response, sent: Outbound) -> Response:
    if sent.method == "HEAD":
        raise APIError(502, "The sandbox has answered without a body", Quirk.NO_JSON)
    return JSONResponse(parsed(answer), answer.status_code)


def _redirected(sent: Outbound, answer: Response) -> Outbound:
    target = urlsplit(urljoin(str(sent.url), answer.headers["location"]))
    to_get = answer.status_code in _AS_GET.get(sent.method, _ALWAYS_AS_GET)
    method = "GET" if to_get else sent.method
    return _json_request(method, unquote(target.path), target.query, sent.content)


def _json_request(method: str, path: str, query: str, body: bytes) -> Outbound:
    """Make a request of a decoded path."""
    return request_of(
        method,
        quote(path.removesuffix("/") or "/"),
        query=query.encode(),
        headers=[(b"content-type", b"application/json")],
        body=b"" if method in _BODILESS else body,
    )
