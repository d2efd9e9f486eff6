"""The environment variables that name a forward proxy, which this client does not use."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


def unused_variables(environ: Mapping[str, str], url: str) -> tuple[str, ...]:
    """Return the names of the variables by which other programs use a forward proxy for `url`.

    Their values are not returned, since they may contain a password.
    """
    parts = urlsplit(url)
    names = [f"{parts.scheme}_proxy", "all_proxy"]
    both = [each for name in names for each in (name.upper(), name)]
    found = tuple(name for name in both if environ.get(name, "").strip())
    return () if not found or _is_excluded(parts.hostname or "", environ) else found


def describe_unused(variables: tuple[str, ...]) -> str:
    """Return a sentence about these variables; empty if there are none."""
    if not variables:
        return ""
    is_one = len(variables) == 1
    return (
        f"{' and '.join(variables)} {'is' if is_one else 'are'} set, but remote-sandbox uses no"
        " forward proxy: the host in proxyUrl has to be reachable without one."
    )


def _is_excluded(host: str, environ: Mapping[str, str]) -> bool:
    """Return whether NO_PROXY excludes a host: by its name, a domain that it is in, or `*`."""
    excluded = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    entries = [entry.strip().lower().removeprefix(".") for entry in excluded.split(",")]
    return any(entry and (entry in {"*", host} or host.endswith(f".{entry}")) for entry in entries)
