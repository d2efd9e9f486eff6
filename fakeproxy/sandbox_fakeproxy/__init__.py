"""A fake of the sandbox proxy: the whole API, offline.

The law of this repository: `client`, `fakeproxy` and `contract` never import one another.
They meet over HTTP, so that whatever judges this fake can judge a deployed proxy too.
"""

from ._app import create_app
from ._clock import Clock, ManualClock, SystemClock
from ._command import Command
from ._local import LocalRuntime
from ._runtime import Runtime, RuntimeUnreachable
from ._script import Outcome
from ._scripted import ScriptedRuntime
from ._store import Store

__all__ = [
    "Clock",
    "Command",
    "LocalRuntime",
    "ManualClock",
    "Outcome",
    "Runtime",
    "RuntimeUnreachable",
    "ScriptedRuntime",
    "Store",
    "SystemClock",
    "create_app",
]
