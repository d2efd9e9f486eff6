"""The proxy's operations for a login: its health, a key's user, new users and new keys."""

from __future__ import annotations

import platform
import pwd
import re
from dataclasses import dataclass, replace
from os import getuid
from typing import TYPE_CHECKING

from sandbox_client.text import mask_keys, pluralize

from .api import accounts
from .errors import AlreadyExists, InvalidInput, InvalidResponse, ProxyFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .api.accounts import User
    from .api.message import Reply, Request
    from .config import Config
    from .provider import ClientProvider

    T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8080"  # the fake proxy's
REPLY_DEADLINE = 10.0  # seconds
MAX_USER_NAME = 58  # the Kubernetes label of its namespace is user-<name>
MAX_KEY_NAME = 100
_USER_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


async def check_health(provider: ClientProvider, config: Config) -> None:
    """Check that the proxy answers and is healthy; without a key in `config`, none is sent.

    Raises:
        SandboxError: it does not answer, is no sandbox proxy, or is not healthy.
    """
    health = await _fetch(provider, config, accounts.health(), accounts.read_health)
    if not health.is_good:
        raise ProxyFailed(
            f"The proxy is not healthy: /health reports {health.description}",
            advice="Tell the proxy's administrator, and try again later.",
        )


async def key_owner(provider: ClientProvider, config: Config) -> str:
    """Return the name of the user that owns the key in `config`.

    Raises:
        KeyRejected: the proxy does not accept the key.
    """
    return await _fetch(provider, config, accounts.me(), accounts.read_owner)


@dataclass(frozen=True)
class Administration:
    """The operations for an admin key, which is sent to the proxy and never stored."""

    provider: ClientProvider
    config: Config

    async def users(self) -> list[User]:
        """Return the proxy's users.

        Raises:
            AdminKeyRejected: the proxy does not accept the admin key.
        """
        return await self._fetch(accounts.users(), accounts.read_users)

    async def find(self, name: str) -> User | None:
        """Return the user of that name, or None."""
        return next((user for user in await self.users() if user.name == name), None)

    async def create_user(self, name: str) -> User:
        """Create a user, or return the existing one if another client has just created it."""
        try:
            return await self._fetch(
                accounts.make_user(name), lambda reply: accounts.read_made_user(reply, name)
            )
        except AlreadyExists:
            found = await self.find(name)
            if found is None:
                raise InvalidResponse(
                    f"The proxy has a user '{name}', but does not list it"
                ) from None
            return found

    async def create_key(self, user: User, name: str) -> str:
        """Create a key for the user and return it; the proxy never shows it again."""
        return await self._fetch(accounts.make_key(user, name), accounts.read_made_key)

    async def _fetch(self, request: Request, read: Callable[[Reply], T]) -> T:
        return await _fetch(self.provider, self.config, request, read)


def open_administration(provider: ClientProvider, config: Config, admin_key: str) -> Administration:
    """Return the operations for `admin_key` at the proxy in `config`.

    Raises:
        InvalidInput: the key is empty, or an HTTP header cannot carry it.
    """
    if not admin_key:
        raise InvalidInput("No admin key was given", advice="Paste the proxy's ADMIN_API_KEY.")
    if not admin_key.isascii() or not admin_key.isprintable() or " " in admin_key:
        raise InvalidInput(
            f"The admin key ({pluralize(len(admin_key), 'character')}) has a space or a character"
            " that cannot be sent",
            advice="Give the proxy's ADMIN_API_KEY, all of it and nothing else.",
        )
    return Administration(provider, replace(config, api_key=admin_key))


def check_user_name(name: str) -> str:
    """Return `name` if it is a valid user name.

    Raises:
        InvalidInput: it is not valid.
    """
    if len(name) <= MAX_USER_NAME and _USER_NAME.fullmatch(name):
        return name
    raise InvalidInput(
        f"{mask_keys(ascii(name[:80]))} ({pluralize(len(name), 'character')}) cannot be a user's"
        " name",
        advice=f"A name has 1 to {MAX_USER_NAME} characters: lower-case letters, digits and"
        " hyphens, none of these at either end. For example: ada.",
    )


def suggest_user_name(local_name: str) -> str:
    """Return a valid user name made of the local one, or an empty text if that is impossible."""
    fitting = re.sub(r"[^a-z0-9]+", "-", local_name.lower())
    return fitting.strip("-")[:MAX_USER_NAME].rstrip("-")


def local_name() -> str:
    """Return the name of the user of this process, or an empty text if it has none."""
    try:
        return pwd.getpwuid(getuid()).pw_name
    except KeyError:  # a container may run with a user id that has no name
        return ""


def new_key_name() -> str:
    """Return the name for a new key, by which its owner recognizes it."""
    return f"remote-sandbox login on {platform.node()}"[:MAX_KEY_NAME]


async def _fetch(
    provider: ClientProvider, config: Config, request: Request, read: Callable[[Reply], T]
) -> T:
    async with provider.connect(config).proxy as proxy:
        # Few attempts: the user is waiting, and is asked again after a failure.
        return await proxy.fetch(request, read, deadline=REPLY_DEADLINE, attempts=2)
