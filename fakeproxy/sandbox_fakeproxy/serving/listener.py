"""The listening socket, and the `Host` values that requests may have."""

import ipaddress
import socket
from dataclasses import dataclass

from sandbox_fakeproxy.errors import CannotStart

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class ListenerRefused(CannotStart):
    """The fake cannot or must not listen on an address."""


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A socket that listens, so that clients can connect from now on."""

    socket: socket.socket
    url: str
    allowed_hosts: tuple[str, ...] | None  # None allows any: other machines may use any name


def listen(host: str, port: int, *, allow_remote: bool) -> ListeningSocket:
    """Open a listening TCP socket.

    Raises:
        ListenerRefused: the address is in use or not of this machine, or other machines can reach
            it and `allow_remote` is false.
    """
    family, address = _resolve(host, port)
    is_local = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
    if not is_local and not allow_remote:
        raise ListenerRefused(
            f"--host {host} lets other machines in, and anyone with a key can then run commands"
            " as you, on this machine. Add --allow-remote if that is what you want."
        )
    # asyncio sets TCP_NODELAY, without which small responses are delayed, only if the protocol is
    # given here.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Without it, a restart fails until old connections have left TIME_WAIT.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as exc:
        listening.close()
        raise ListenerRefused(
            f"Cannot listen on {host} port {port}: {exc.strerror}."
            " Choose another port with --port; --port 0 takes any free one."
        ) from exc
    name = host or address[0]
    url_host = f"[{name}]" if ":" in name else name
    return ListeningSocket(
        listening,
        f"http://{url_host}:{listening.getsockname()[1]}",
        (*_LOOPBACK_NAMES, url_host) if is_local else None,
    )


def _resolve(host: str, port: int) -> tuple[int, tuple[str, int]]:
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise ListenerRefused(f"--host '{host}' is no address of this machine: {exc}") from exc
    family, *_, address = addresses[0]
    return family, (str(address[0]), int(address[1]))
