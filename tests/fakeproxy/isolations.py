"""The isolations that work on this machine: the tests of what runs are run with each."""

from typing import TYPE_CHECKING

from sandbox_fakeproxy import LocalRuntime
from sandbox_fakeproxy._local.isolation import IsolationUnavailable

if TYPE_CHECKING:
    from sandbox_fakeproxy._local.isolation import Choice


def _works(choice: "Choice") -> bool:
    try:
        LocalRuntime(isolation=choice)
    except IsolationUnavailable:
        return False
    return True


CHOICES: "tuple[Choice, ...]" = ("none", "bubblewrap")
WORKING: "list[Choice]" = [choice for choice in CHOICES if _works(choice)]
