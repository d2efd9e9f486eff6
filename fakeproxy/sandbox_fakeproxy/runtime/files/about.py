"""The runtime's description of a sandbox: `GET /v1/sandbox`."""

import platform
import shutil
from datetime import datetime
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox_fakeproxy.runtime.paths import HOME


async def about(_request: Request) -> Response:
    """Answer `GET /v1/sandbox`, flat, unlike the rest of the API."""
    return JSONResponse(
        {
            "success": True,
            "message": "A sandbox of the fake proxy: it runs on the fake's own machine",
            "home_dir": HOME,
            "version": f"fakeproxy-{version('async-remote-agent')}",
            "detail": {"system": _system(), "runtime": _languages(), "utils": []},
        }
    )


def _system() -> dict[str, Any]:
    return {
        "os": platform.system(),
        "os_version": platform.release(),
        "arch": platform.machine(),
        "user": "gem",
        "home_dir": HOME,
        "workspace": "/sandbox",
        "timezone": datetime.now().astimezone().tzname(),
        "occupied_ports": [],
    }


def _languages() -> dict[str, Any]:
    return {"python": _tools("python3"), "nodejs": _tools("node")}


def _tools(name: str) -> list[dict[str, Any]]:
    found = shutil.which(name)
    return [] if found is None else [{"ver": None, "bin": found, "alias": [name]}]
