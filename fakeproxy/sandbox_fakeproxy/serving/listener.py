"""The socket the fake listens on, and the hosts by which it may be called."""

import ipaddress
import socket
from dataclasses import dataclass

from sandbox_fakeproxy.errors import CannotStart

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class ListenerRefused(CannotStart):
    """The fake cannot, or must not, listen there."""


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A socket that listens already, so that a client may connect from now on."""

    socket: socket.socket
    url: str
    allowed_hosts: tuple[str, ...] | None  # None is any: others may know this machine by any name


def listen(host: str, port: int, *, allow_remote: bool) -> ListeningSocket:
    """Listen on an address.

    Raises:
        ListenerRefused: it is in use, not this machine's, or others can reach it.
    """
    family, address = _resolved(host, port)
    is_local = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
    if not is_local and not allow_remote:
        raise ListenerRefused(
            f"--host {host} lets other machines in, and anyone with a key can then run commands"
            " as you, on this machine. Add --allow-remote if that is what you want."
        )
    # Only where the protocol is said does asyncio send a small reply without waiting for more.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Without it, a restart would wait until the last connections' time has run out.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as exc:
        listening.close()
        raise ListenerRefused(
            f"Cannot listen on {host} port {port}: {exc.strerror}."
            " Choose another port with --port; --port 0 takes any free one."
        ) from exc
    named = host or address[0]
    shown = f"[{named}]" if ":" in named else named
    return ListeningSocket(
        listening,
        f"http://{shown}:{listening.getsockname()[1]}",
        (*_LOOPBACK_NAMES, shown) if is_local else None,
    )


def _resolved(host: str, port: int) -> tuple[int, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise ListenerRefused(f"--host '{host}' is no address of this machine: {exc}") from exc
    family, *_, address = found[0]
    return family, (str(address[0]), int(address[1]))
