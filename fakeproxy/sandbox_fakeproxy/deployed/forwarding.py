"""Forwarding as the deployed proxy does it: requests and responses are rewritten."""

import json
from urllib.parse import quote, unquote, urljoin, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox_fakeproxy.api.forwarding import (
    Forwarding,
    RuntimeRequest,
    SendRequest,
    build_request,
    parse_json,
)
from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import decode, json_body, read_body

_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
# The statuses at which fetch redirects a request as a GET: by its method, and for other methods.
_TO_GET_OTHERWISE = frozenset({303})
_TO_GET = {"POST": frozenset({301, 302, 303}), "HEAD": frozenset[int]()}
_MAX_REDIRECTS = 20  # as in fetch
_METHODS_WITHOUT_BODY = frozenset({"GET", "HEAD"})


class DeployedForwarding(Forwarding):
    """Rewrite requests and responses as the deployed proxy does."""

    async def read(self, request: Request) -> RuntimeRequest:
        """Decode the path once, drop the query and the headers, and send any body as JSON.

        Raises:
            APIError: the body or the path is malformed, or the body is too large.
        """
        value = json_body(request.headers, await read_body(request))
        segments = request.path_params["path"].split("/")
        path, _, query = "/".join(["", *map(decode, segments)]).partition("?")
        return _json_request(request.method, path, query, json.dumps(value).encode())

    async def process_response(
        self, response: Response, request: RuntimeRequest, send_again: SendRequest
    ) -> Response:
        """Follow redirects, and return only the status and the JSON of the last response.

        Raises:
            APIError: 502, the response is not JSON, or there are too many redirects.
        """
        for _ in range(_MAX_REDIRECTS):
            if response.status_code not in _REDIRECT_STATUSES or "location" not in response.headers:
                return _json_response(response, request)
            request = _redirected_request(request, response)
            response = await send_again(request)
        raise APIError(502, "The sandbox redirects too often", Quirk.UNREACHABLE)


def _json_response(response: Response, request: RuntimeRequest) -> Response:
    if request.method == "HEAD":
        raise APIError(502, "The sandbox's response has no body", Quirk.NO_JSON)
    return JSONResponse(parse_json(response), response.status_code)


def _redirected_request(request: RuntimeRequest, response: Response) -> RuntimeRequest:
    target = urlsplit(urljoin(str(request.url), response.headers["location"]))
    becomes_get = response.status_code in _TO_GET.get(request.method, _TO_GET_OTHERWISE)
    method = "GET" if becomes_get else request.method
    return _json_request(method, unquote(target.path), target.query, request.content)


def _json_request(method: str, path: str, query: str, body: bytes) -> RuntimeRequest:
    """Build a request to a runtime from a decoded path."""
    return build_request(
        method,
        quote(path.removesuffix("/") or "/"),
        query=query.encode(),
        headers=[(b"content-type", b"application/json")],
        body=b"" if method in _METHODS_WITHOUT_BODY else body,
    )
