"""Run commands in remote sandboxes: the Python API. See docs/python.md.

Each name is imported when it is used: the MCP server starts without them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` takes longer than the start of the MCP server may
if TYPE_CHECKING:
    from .activity import IdleSandbox, SandboxCommand, SandboxCommands
    from .api.files import Entry, Listing
    from .api.runtime import SessionRow, Signal
    from .api.sandboxes import Sandbox, State
    from .client import Client
    from .config import Config
    from .errors import (
        AlreadyExists,
        ConfigError,
        FileRefused,
        InvalidInput,
        KeyRejected,
        NotReady,
        Paused,
        ProxyFailed,
        ProxyRefused,
        ProxyUnreachable,
        QuotaReached,
        RepositoryRefused,
        SandboxError,
        SandboxFailed,
        SandboxNotFound,
        SessionBusy,
        SessionNotFound,
        WorkRefused,
    )
    from .execution.result import CommandResult, Session
    from .listing import Row
    from .output import Output, OutputChunk
    from .readiness import WaitResult
    from .repository.model import Pull, Push, PushPlan

__all__ = (
    "AlreadyExists",
    "Client",
    "CommandResult",
    "Config",
    "ConfigError",
    "Entry",
    "FileRefused",
    "IdleSandbox",
    "InvalidInput",
    "KeyRejected",
    "Listing",
    "NotReady",
    "Output",
    "OutputChunk",
    "Paused",
    "ProxyFailed",
    "ProxyRefused",
    "ProxyUnreachable",
    "Pull",
    "Push",
    "PushPlan",
    "QuotaReached",
    "RepositoryRefused",
    "Row",
    "Sandbox",
    "SandboxCommand",
    "SandboxCommands",
    "SandboxError",
    "SandboxFailed",
    "SandboxNotFound",
    "Session",
    "SessionBusy",
    "SessionNotFound",
    "SessionRow",
    "Signal",
    "State",
    "WaitResult",
    "WorkRefused",
)

_MODULES = {
    "activity": ("IdleSandbox", "SandboxCommand", "SandboxCommands"),
    "api.files": ("Entry", "Listing"),
    "api.runtime": ("SessionRow", "Signal"),
    "api.sandboxes": ("Sandbox", "State"),
    "client": ("Client",),
    "config": ("Config",),
    "output": ("Output", "OutputChunk"),
    "execution.result": ("CommandResult", "Session"),
    "readiness": ("WaitResult",),
    "listing": ("Row",),
    "repository.model": ("Pull", "Push", "PushPlan"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _MODULES.items() if name in names), "errors")
    return getattr(import_module(f"{__name__}.{home}"), name)
