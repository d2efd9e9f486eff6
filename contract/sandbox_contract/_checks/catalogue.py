"""Every check: importing this module makes all of them known."""

from . import (
    authentication,
    commands,
    conventions,
    ends,
    files,
    history,
    keys,
    ownership,
    quota,
    races,
    readiness,
    sandboxes,
    sessions,
    shell,
    users,
)
from .registry import check_of, checked

__all__ = ["AREAS", "check_of", "checked"]

AREAS = (
    authentication,
    commands,
    conventions,
    ends,
    files,
    history,
    keys,
    ownership,
    quota,
    races,
    readiness,
    sandboxes,
    sessions,
    shell,
    users,
)
