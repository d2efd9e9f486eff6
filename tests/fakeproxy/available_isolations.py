"""The isolations of commands that work on this machine."""

import pytest
from sandbox_fakeproxy import LocalRuntime
from sandbox_fakeproxy._local.isolation import Choice, IsolationUnavailable


def _works(choice: Choice) -> bool:
    try:
        LocalRuntime(isolation=choice)
    except IsolationUnavailable:
        return False
    return True


_CHOICES: tuple[Choice, ...] = ("none", "required")
AVAILABLE_ISOLATIONS: list[Choice] = [choice for choice in _CHOICES if _works(choice)]

# Replaces the fixture `isolation`: runs a test with each isolation that works on this machine.
with_each_isolation = pytest.mark.parametrize("isolation", AVAILABLE_ISOLATIONS)
