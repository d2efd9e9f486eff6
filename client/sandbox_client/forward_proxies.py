"""The environment variables that name a forward proxy, which this client does not use."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_PORTS = {"http": 80, "https": 443}
_WITH_PORT = re.compile(r"([^:]+|\[.+\]):([0-9]{1,5})")  # an IPv6 address has brackets then


def unused_variables(environ: Mapping[str, str], url: str) -> tuple[str, ...]:
    """Return the names of the variables by which other programs use a forward proxy for `url`.

    Their values are not returned, since they may contain a password.
    """
    parts = urlsplit(url)
    names = [f"{parts.scheme}_proxy", "all_proxy"]
    both = [each for name in names for each in (name.upper(), name)]
    found = tuple(name for name in both if environ.get(name, "").strip())
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    return () if not found or _is_excluded(parts.hostname or "", port, environ) else found


def describe_unused(variables: tuple[str, ...]) -> str:
    """Return a sentence about these variables; empty if there are none."""
    if not variables:
        return ""
    is_one = len(variables) == 1
    return (
        f"{' and '.join(variables)} {'is' if is_one else 'are'} set, but remote-sandbox uses no"
        " forward proxy: the host in proxyUrl has to be reachable without one."
    )


def _is_excluded(host: str, port: int, environ: Mapping[str, str]) -> bool:
    """Return whether an entry of NO_PROXY excludes a host, as curl and Go read it."""
    excluded = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    entries = [entry.strip().lower() for entry in excluded.split(",")]
    return any(_matches(entry, host, port) for entry in entries if entry)


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry means a host.

    It is `*`, a name, a domain, an address or a network, and it may end with a port.
    """
    if with_port := _WITH_PORT.fullmatch(entry):
        entry = with_port[1]
        if int(with_port[2]) != port:
            return False
    domain = entry.removeprefix("*").removeprefix(".")
    return (
        entry in {"*", host}
        or (bool(domain) and host.endswith(f".{domain}"))
        or _is_in_network(host, entry)
    )


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network.strip("[]"), strict=False)
    except ValueError:  # one of them is a name
        return False
