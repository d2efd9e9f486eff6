"""A fake of the sandbox proxy: the whole API, offline.

The packages `client`, `fakeproxy` and `contract` never import one another.
They meet over HTTP, so that whatever judges this fake can judge a deployed proxy too.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app
    from .clock import Clock, Instant, ManualClock, SystemClock
    from .control.documents import InvalidDocument
    from .control.fake import Fake
    from .errors import APIError
    from .model import ApiKey, Sandbox, User
    from .runtime.interface import Runtime, RuntimeUnreachable
    from .runtime.local.runtime import LocalRuntime
    from .runtime.scripted import Outcome, ScriptedRuntime
    from .runtime.shell.commands import Command
    from .service import Service, Status
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
    "Service",
    "Status",
    "Store",
    "SystemClock",
    "User",
    "create_app",
]

# pytest loads the plugin beside this file in every project where the distribution is installed,
# also without its extra: modules that need Starlette are imported on first use.
_HOMES = {
    "ApiKey": "model",
    "Clock": "clock",
    "Command": "runtime.shell.commands",
    "Fake": "control.fake",
    "FakeProxy": "testing",
    "FakeProxyServer": "testing",
    "Instant": "clock",
    "InvalidDocument": "control.documents",
    "LocalRuntime": "runtime.local.runtime",
    "ManualClock": "clock",
    "Outcome": "runtime.scripted",
    "APIError": "errors",
    "Runtime": "runtime.interface",
    "RuntimeUnreachable": "runtime.interface",
    "Sandbox": "model",
    "ScriptedRuntime": "runtime.scripted",
    "Service": "service",
    "Status": "service",
    "Store": "store",
    "SystemClock": "clock",
    "User": "model",
    "create_app": "app",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
