"""Every check: importing this module makes all of them known."""

from . import (
    authentication,
    commands,
    conventions,
    creation,
    files,
    history,
    isolation,
    keys,
    leaving,
    lifecycle,
    listing,
    ownership,
    quota,
    races,
    readiness,
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
    creation,
    files,
    history,
    isolation,
    keys,
    leaving,
    lifecycle,
    listing,
    ownership,
    quota,
    races,
    readiness,
    sessions,
    shell,
    users,
)
