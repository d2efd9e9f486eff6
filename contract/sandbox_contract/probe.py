"""What a target's runtime may serve beside its own API, so that the way there can be judged.

An ASGI app for paths that a runtime does not have. A fake proxy takes it as its `upstream`.
"""

import json
from collections.abc import MutableMapping
from typing import Any

from sandbox_contract.http.interleaving import Receive, Send

_ROOT = "/contract-probe/"
_JSON = [(b"content-type", b"application/json")]


async def probe(scope: MutableMapping[str, Any], _receive: Receive, send: Send) -> None:
    """Answer `status/N` with that status and what was asked, `no-json`, and `reset` not at all.

    Raises:
        ConnectionResetError: the path is `reset`, and a connection would break off.
    """
    what, _, detail = str(scope["path"]).removeprefix(_ROOT).partition("/")
    if what == "reset":
        raise ConnectionResetError("The probe was asked to break off")
    if what == "status":
        asked = {
            "method": scope["method"],
            "status": int(detail),
            "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        }
        await _answer(send, int(detail), json.dumps(asked).encode())
    elif what == "no-json":
        await _answer(send, 200, b"<html>this is no JSON</html>")
    else:
        await _answer(send, 404, b'{"detail": "Not Found"}')


async def _answer(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _JSON})
    await send({"type": "http.response.body", "body": body})
