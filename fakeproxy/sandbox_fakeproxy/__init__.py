"""A fake of the sandbox proxy: the whole API, offline.

The packages `client`, `fakeproxy` and `contract` never import one another.
They meet over HTTP, so that whatever judges this fake can judge a deployed proxy too.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._app import create_app
    from ._clock import Clock, Instant, ManualClock, SystemClock
    from ._control.document import InvalidDocument
    from ._control.fake import Fake
    from ._errors import Refusal
    from ._local.runtime import LocalRuntime
    from ._runtime.interface import Runtime, RuntimeUnreachable
    from ._scripted.runtime import ScriptedRuntime
    from ._scripted.script import Outcome
    from ._service import Service, Status
    from ._shells.run import Command
    from ._state.records import ApiKey, Sandbox, User
    from ._state.store import Store
    from ._testing.in_tests import FakeProxy, FakeProxyServer

__all__ = [
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
    "Refusal",
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
    "ApiKey": "_state.records",
    "Clock": "_clock",
    "Command": "_shells.run",
    "Fake": "_control.fake",
    "FakeProxy": "_testing.in_tests",
    "FakeProxyServer": "_testing.in_tests",
    "Instant": "_clock",
    "InvalidDocument": "_control.document",
    "LocalRuntime": "_local.runtime",
    "ManualClock": "_clock",
    "Outcome": "_scripted.script",
    "Refusal": "_errors",
    "Runtime": "_runtime.interface",
    "RuntimeUnreachable": "_runtime.interface",
    "Sandbox": "_state.records",
    "ScriptedRuntime": "_scripted.runtime",
    "Service": "_service",
    "Status": "_service",
    "Store": "_state.store",
    "SystemClock": "_clock",
    "User": "_state.records",
    "create_app": "_app",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
