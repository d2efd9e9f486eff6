"""An ASGI app that a target's runtime may serve below a path of its own, to judge forwarding.

A fake proxy takes it as its `upstream`.
"""

import json
from collections.abc import MutableMapping
from typing import Any

from sandbox_contract.http.interleaving import Receive, Send

_ROOT = "/contract-probe/"
_JSON = [(b"content-type", b"application/json")]


async def probe(scope: MutableMapping[str, Any], _receive: Receive, send: Send) -> None:
    """Answer `status/N` with that status and the request, and `no-json` with HTML.

    Raises:
        ConnectionResetError: the path is `reset`, which stands for a connection that breaks.
    """
    action, _, detail = str(scope["path"]).removeprefix(_ROOT).partition("/")
    if action == "reset":
        raise ConnectionResetError("The probe was asked to break off")
    if action == "status":
        request = {
            "method": scope["method"],
            "status": int(detail),
            "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        }
        await _respond(send, int(detail), json.dumps(request).encode())
    elif action == "no-json":
        await _respond(send, 200, b"<html>this is no JSON</html>")
    else:
        await _respond(send, 404, b'{"detail": "Not Found"}')


async def _respond(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _JSON})
    await send({"type": "http.response.body", "body": body})
