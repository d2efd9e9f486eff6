"""The isolations of commands that work on this machine."""

import os

import pytest
from sandbox_fakeproxy.runtime.local.isolation import (
    IsolationMode,
    IsolationUnavailable,
    choose_isolation,
)


def _problem_of_jails() -> str | None:
    """Return why jails do not work on this machine; None if they do."""
    try:
        choose_isolation("required")
    except IsolationUnavailable as exc:
        return str(exc).removeprefix("Isolation 'required': ").partition(". Fix that")[0]
    return None


JAIL_PROBLEM = _problem_of_jails()
JAIL_IS_REQUIRED = os.environ.get("REQUIRE_JAIL") == "1"
AVAILABLE_ISOLATIONS: list[IsolationMode] = ["none"] if JAIL_PROBLEM else ["none", "required"]

needs_jail = pytest.mark.skipif(
    JAIL_PROBLEM is not None, reason=f"commands cannot run in jails: {JAIL_PROBLEM}"
)
# Replaces the fixture `isolation`: runs a test with each isolation, and skips those without a jail.
with_each_isolation = pytest.mark.parametrize(
    "isolation", ["none", pytest.param("required", marks=needs_jail)]
)
