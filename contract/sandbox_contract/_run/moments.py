"""Times, as the proxy writes them: ISO 8601 in UTC with milliseconds and Z."""

import re
from datetime import datetime

from sandbox_contract._wire.expect import Violation

FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def read(text: str) -> datetime:
    """Return the time that a text says.

    Raises:
        Violation: it says none, or not in that form.
    """
    try:
        if FORM.fullmatch(text) is not None:
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise Violation("a time with milliseconds and Z", text)


def written(moment: datetime) -> str:
    """Write a time, which is in UTC."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
