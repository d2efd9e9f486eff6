"""A fake of the sandbox proxy: the whole API, offline.

The law of this repository: `client`, `fakeproxy` and `contract` never import one another.
They meet over HTTP, so that whatever judges this fake can judge a deployed proxy too.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._app import create_app
    from ._clock import Clock, ManualClock, SystemClock
    from ._command import Command
    from ._fake import Fake
    from ._in_tests import FakeProxy, FakeProxyServer
    from ._local import LocalRuntime
    from ._runtime import Runtime, RuntimeUnreachable
    from ._script import Outcome
    from ._scripted import ScriptedRuntime
    from ._seed import SeedUnusable
    from ._store import Store

__all__ = [
    "Clock",
    "Command",
    "Fake",
    "FakeProxy",
    "FakeProxyServer",
    "LocalRuntime",
    "ManualClock",
    "Outcome",
    "Runtime",
    "RuntimeUnreachable",
    "ScriptedRuntime",
    "SeedUnusable",
    "Store",
    "SystemClock",
    "create_app",
]

# pytest loads the plugin beside this file in every project where the distribution is installed,
# also without its extra: what needs Starlette is imported when it is asked for.
_HOMES = {
    "Clock": "_clock",
    "Command": "_command",
    "Fake": "_fake",
    "FakeProxy": "_in_tests",
    "FakeProxyServer": "_in_tests",
    "LocalRuntime": "_local",
    "ManualClock": "_clock",
    "Outcome": "_script",
    "Runtime": "_runtime",
    "RuntimeUnreachable": "_runtime",
    "ScriptedRuntime": "_scripted",
    "SeedUnusable": "_seed",
    "Store": "_store",
    "SystemClock": "_clock",
    "create_app": "_app",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
