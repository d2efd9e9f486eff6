"""A fake of the sandbox proxy: the whole API, offline.

The packages `client`, `fakeproxy` and `contract` never import one another.
They communicate only over HTTP, so the checks that run against this fake run against a deployed
proxy too.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app
    from .clock import Clock, Instant, ManualClock, SystemClock
    from .control.documents import InvalidDocument
    from .control.fake import Fake
    from .controller import Status
    from .errors import APIError
    from .model import ApiKey, Sandbox, User
    from .runtime.command import Command
    from .runtime.interface import Runtime, RuntimeUnreachable
    from .runtime.local.runtime import LocalRuntime
    from .runtime.playback import Outcome
    from .runtime.scripted import ScriptedRuntime
    from .service import Service
    from .serving.server import ServerThread
    from .store import Store
    from .testing import FakeProxy, FakeProxyServer

__all__ = [
    "APIError",
    "ApiKey",
    "Clock",
    "Command",
    "Fake",
    "FakeProxy",
    "FakeProxyServer",
    "Instant",
    "InvalidDocument",
    "LocalRuntime",
    "ManualClock",
    "Outcome",
    "Runtime",
    "RuntimeUnreachable",
    "Sandbox",
    "ScriptedRuntime",
    "ServerThread",
    "Service",
    "Status",
    "Store",
    "SystemClock",
    "User",
    "create_app",
]

# pytest loads `pytest_plugin` in every project where the distribution is installed, even without
# its extra, so modules that need Starlette are imported on first use.
_MODULES = {
    "ApiKey": "model",
    "Clock": "clock",
    "Command": "runtime.command",
    "Fake": "control.fake",
    "FakeProxy": "testing",
    "FakeProxyServer": "testing",
    "Instant": "clock",
    "InvalidDocument": "control.documents",
    "LocalRuntime": "runtime.local.runtime",
    "ManualClock": "clock",
    "Outcome": "runtime.playback",
    "APIError": "errors",
    "Runtime": "runtime.interface",
    "RuntimeUnreachable": "runtime.interface",
    "Sandbox": "model",
    "ScriptedRuntime": "runtime.scripted",
    "ServerThread": "serving.server",
    "Service": "service",
    "Status": "controller",
    "Store": "store",
    "SystemClock": "clock",
    "User": "model",
    "create_app": "app",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
