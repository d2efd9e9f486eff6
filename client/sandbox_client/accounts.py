"""What a login asks of the proxy: whether it is there, whose a key is, and for a user and a key."""

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
    from .api.accounts import User
    from .api.message import Reply, Request
    from .config import Config
    from .provider import ClientProvider

DEFAULT_URL = "http://127.0.0.1:8080"  # where the fake proxy is
ANSWER_DEADLINE = 10.0  # seconds
MAX_USER_NAME = 58  # its namespace is user-<name>, and a label
MAX_KEY_NAME = 100
_USER_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


async def reach(provider: ClientProvider, config: Config) -> None:
    """Ask the proxy whether it is well; no key is sent where `config` has none.

    Raises:
        SandboxError: it does not answer, is no sandbox proxy, or is not well.
    """
    health = accounts.read_health(await _ask(provider, config, accounts.health()))
    if not health.is_good:
        raise ProxyFailed(
            f"The proxy is not well: /health says {health.description}",
            advice="Tell the proxy's administrator, and try again later.",
        )


async def owner_of(provider: ClientProvider, config: Config) -> str:
    """Return the name of the user whose key it is.

    Raises:
        KeyRejected: the proxy does not take it.
    """
    return accounts.read_owner(await _ask(provider, config, accounts.me()))


@dataclass(frozen=True)
class Administration:
    """What an admin key opens; it is held here, sent to the proxy, and kept nowhere."""

    provider: ClientProvider
    config: Config

    async def users(self) -> list[User]:
        """Return the proxy's users.

        Raises:
            AdminKeyRejected: it is not the proxy's admin key.
        """
        reply = await _ask(self.provider, self.config, accounts.users())
        return accounts.read_users(reply)

    async def find(self, name: str) -> User | None:
        """Return the user of that name."""
        return next((user for user in await self.users() if user.name == name), None)

    async def make_user(self, name: str) -> User:
        """Make a user, or return the one that somebody else has just made."""
        try:
            reply = await self._change(accounts.make_user(name))
        except AlreadyExists:
            found = await self.find(name)
            if found is None:
                raise InvalidResponse(
                    f"The proxy has a user '{name}', and does not list it"
                ) from None
            return found
        return accounts.read_made_user(reply)

    async def make_key(self, user: User, name: str) -> str:
        """Make a key of the user's and return it; the proxy shows it this once."""
        return accounts.read_made_key(await self._change(accounts.make_key(user, name)))

    async def _change(self, request: Request) -> Reply:
        return await _ask(self.provider, self.config, request)


def administration(provider: ClientProvider, config: Config, admin_key: str) -> Administration:
    """Return what an admin key opens at the proxy of `config`.

    Raises:
        InvalidInput: there is none, or no header can carry it.
    """
    if not admin_key:
        raise InvalidInput("No admin key was given", advice="Paste the proxy's ADMIN_API_KEY.")
    if not admin_key.isascii() or not admin_key.isprintable() or " " in admin_key:
        raise InvalidInput(
            f"The admin key ({pluralize(len(admin_key), 'character')}) holds a space or a character"
            " that cannot be sent",
            advice="Give the proxy's ADMIN_API_KEY, all of it and nothing else.",
        )
    return Administration(provider, replace(config, api_key=admin_key))


def check_user_name(name: str) -> str:
    """Return `name` where it can be a user's.

    Raises:
        InvalidInput: it cannot.
    """
    if len(name) <= MAX_USER_NAME and _USER_NAME.fullmatch(name):
        return name
    raise InvalidInput(
        f"{mask_keys(ascii(name[:80]))} ({pluralize(len(name), 'character')}) cannot be a user's"
        " name",
        advice=f"A name has 1 to {MAX_USER_NAME} characters: lower-case letters, digits and"
        " hyphens, none of these at either end. For example: ada.",
    )


def user_name_of(local_name: str) -> str:
    """Return a machine's user name as one of the proxy's; empty where nothing of it fits."""
    fitting = re.sub(r"[^a-z0-9]+", "-", local_name.lower())
    return fitting.strip("-")[:MAX_USER_NAME].rstrip("-")


def local_name() -> str:
    """Return who runs this; empty where the machine does not know."""
    try:
        return pwd.getpwuid(getuid()).pw_name
    except KeyError:  # a container may run as somebody whom it does not know
        return ""


def key_name() -> str:
    """Return what a key made here is called, so that its owner knows it again."""
    return f"remote-sandbox login on {platform.node()}"[:MAX_KEY_NAME]


async def _ask(provider: ClientProvider, config: Config, request: Request) -> Reply:
    async with provider.connect(config).proxy as proxy:
        # No long retries: a person waits, who is asked again.
        return await proxy.send(request, deadline=ANSWER_DEADLINE, attempts=2)
