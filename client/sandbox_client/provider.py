"""The client that a tool or a terminal command works with, from the current configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from .client import Client
    from .config import Config


class ClientProvider(Protocol):
    """The environment of a tool or a command, and the client for its configuration."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables that override the configuration file."""
        ...

    def connect(self, config: Config, /) -> Client:
        """Return a client for the proxy in `config`; the caller closes it."""
        ...

    def client(self) -> AbstractAsyncContextManager[Client]:
        """Open a client for the current configuration.

        Raises:
            ConfigError: the configuration is missing or cannot be used.
        """
        ...
