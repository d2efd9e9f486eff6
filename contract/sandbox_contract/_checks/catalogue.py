"""Every check: importing this module makes all of them known."""

from importlib import import_module

from .registry import check_of, checked

__all__ = ["check_of", "checked"]

_AREAS = (
    "authentication",
    "commands",
    "conventions",
    "creation",
    "files",
    "history",
    "isolation",
    "keys",
    "leaving",
    "lifecycle",
    "listing",
    "ownership",
    "quota",
    "races",
    "readiness",
    "sessions",
    "shell",
    "users",
)
for _area in _AREAS:
    import_module(f".{_area}", __package__)
