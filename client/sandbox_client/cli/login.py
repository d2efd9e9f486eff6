"""The command that asks for a URL and a key, checks both, and writes the configuration: login."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from sandbox_client import accounts
from sandbox_client.config import config_from_values, config_path, configured_url, env_overrides
from sandbox_client.config_file import (
    check_writable,
    printable_path,
    read_config_file,
    update_config_file,
)
from sandbox_client.errors import InvalidInput, SandboxError
from sandbox_client.text import KEY_PREFIX

from .command import OK, Command, argument
from .prompting import questions

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Awaitable, Callable

    from sandbox_client.accounts import Administration
    from sandbox_client.api.accounts import User
    from sandbox_client.config import Config
    from sandbox_client.provider import ClientProvider

    from .console import Console
    from .prompting import Questions

T = TypeVar("T")


async def _run(provider: ClientProvider, arguments: Namespace, console: Console) -> int:
    if arguments.user is not None and not arguments.admin:
        raise InvalidInput(
            "--user names the user to make with the admin key, and --admin is not there",
            advice="Add --admin, or leave --user out: a user's key says whose it is.",
        )
    asked = questions(key_stdin=arguments.key_stdin)
    return await Login(provider, console, asked).run(
        url=arguments.url, user=arguments.user, is_admin=arguments.admin
    )


@dataclass(frozen=True)
class _Account:
    """A configuration with a key that the proxy takes, and whose it is."""

    config: Config
    owner: str


@dataclass
class Login:
    """One conversation; `made` is what the proxy has since then, whatever becomes of it."""

    provider: ClientProvider
    console: Console
    questions: Questions
    made: list[str] = field(default_factory=list[str])

    async def run(self, *, url: str | None, user: str | None, is_admin: bool) -> int:
        """Ask, check, write, and tell what comes next.

        What is known already, `url` or `user`, is not asked for unless it turns out wrong.
        """
        path = config_path(self.provider.environ)
        file = read_config_file(path, optional=True)  # refused before anything is asked
        check_writable(path)
        try:
            config = await self._proxy(url, configured_url(self.provider.environ, file))
            ask = self._by_admin_key(config, user) if is_admin else self._by_key(config)
            account = await ask
            changes = {"proxyUrl": config.proxy_url, "apiKey": account.config.api_key}
            update_config_file(path, changes)
        except BaseException:
            self._tell_what_is_left()
            raise
        self._tell(account, printable_path(path))
        return OK

    async def _proxy(self, url: str | None, known: str) -> Config:
        """Return the configuration of the proxy, without a key."""

        def ask(before: str) -> str:
            return self.questions.text("The proxy's URL", before or known or accounts.DEFAULT_URL)

        async def check(answer: str) -> Config:
            config = config_from_values(self.provider.environ, answer)
            with self.console.waiting(f"asking {config.proxy_url}"):
                await accounts.reach(self.provider, config)
            return config

        config = await self._until_right(ask, check, first=url)
        self.console.say(f"The proxy at {config.proxy_url} answers.")
        if config.is_in_clear:
            self.console.say(
                "Warning: http is not encrypted: others on the network can read the key."
            )
        return config

    async def _by_key(self, config: Config) -> _Account:
        async def check(answer: str) -> _Account | str:
            if answer and not answer.startswith(KEY_PREFIX) and self._is_admin_key():
                return answer
            return await self._account(config, answer)

        found = await self._until_right(self._secret("Your API key"), check)
        if isinstance(found, _Account):
            return found
        return await self._by_admin_key(config, None, found)

    def _is_admin_key(self) -> bool:
        words = f"This is no user's key ({KEY_PREFIX}…). Is it the admin key?"
        return self.questions.agreed(words, default=False)

    async def _by_admin_key(
        self, config: Config, user: str | None, admin_key: str | None = None
    ) -> _Account:
        async def check(answer: str) -> Administration:
            opened = accounts.administration(self.provider, config, answer)
            with self.console.waiting("asking for the users"):
                await opened.users()
            return opened

        def ask_user(before: str) -> str:
            return self.questions.text("The user to make a key for", before or suggestion)

        suggestion = accounts.user_name_of(accounts.local_name())
        ask = self._secret("The proxy's admin key, which is not kept")
        opened = await self._until_right(ask, check, first=admin_key)
        key = await self._until_right(ask_user, partial(self._make_key, opened), first=user)
        return await self._account(config, key)

    async def _make_key(self, opened: Administration, name: str) -> str:
        user = await opened.find(accounts.check_user_name(name))
        if user is None:
            user = await opened.make_user(name)
            self.made.append(f"user '{name}'")
            self.console.say(f"User '{name}' was made.")
        else:
            self._check_found(user)
        key_name = accounts.key_name()
        key = await opened.make_key(user, key_name)
        self.made.append(f"the key '{key_name}' of user '{name}'")
        self.console.say(f"The key '{key_name}' was made for user '{name}'.")
        return key

    def _check_found(self, user: User) -> None:
        """Refuse a user who was there before, where the key would open nothing or is not meant."""
        if not user.is_active:
            raise InvalidInput(
                f"User '{user.name}' is not active, so its keys open nothing",
                advice="Activate the user first, or give another name.",
            )
        words = f"User '{user.name}' exists already. Make another key for it?"
        if not self.questions.agreed(words, default=True):
            raise InvalidInput(f"User '{user.name}' is left alone", advice="Give another name.")
        self.console.say(f"User '{user.name}' was there already.")

    async def _account(self, config: Config, key: str) -> _Account:
        if not key:
            raise InvalidInput(
                "No key was given", advice="Paste the key: `sk_live_` and 32 characters."
            )
        with_key = config_from_values(self.provider.environ, config.proxy_url, key)
        with self.console.waiting("asking whose the key is"):
            return _Account(with_key, await accounts.owner_of(self.provider, with_key))

    def _secret(self, question: str) -> Callable[[str], str]:
        def ask(before: str) -> str:
            again = "; Enter tries the same again" if before else ""
            return self.questions.secret(f"{question} (hidden as you type{again})") or before

        return ask

    async def _until_right(
        self,
        ask: Callable[[str], str],
        check: Callable[[str], Awaitable[T]],
        *,
        first: str | None = None,
    ) -> T:
        """Return what `check` makes of an answer; `ask` gets the one before, which was wrong."""
        answer = ask("") if first is None else first
        for _ in range(self.questions.tries - 1):
            try:
                return await check(answer)
            except SandboxError as error:
                self.console.say(f"error: {error.message}")
                self.console.say(f"next:  {error.next_step(self.console.spell)}")
            answer = ask(answer)
        return await check(answer)

    def _tell_what_is_left(self) -> None:
        if self.made:
            self.console.say(
                f"The configuration is as it was. The proxy keeps what was made:"
                f" {', '.join(self.made)}. Log in again to use that user; a key that was not"
                " written here is lost."
            )

    def _tell(self, account: _Account, place: str) -> None:
        for name, variable in env_overrides(self.provider.environ).items():
            if name in {"proxyUrl", "apiKey"}:
                self.console.say(f"Warning: {variable} is set and wins over the file: unset it.")
        text = (
            f"The key is {account.owner}'s. It is in {place} now, for your eyes only.\n"
            "Next: `remote-sandbox create my-sandbox` makes a sandbox, and `remote-sandbox doctor`"
            " looks whether all is well."
        )
        content = {
            "config": place,
            "proxy_url": account.config.proxy_url,
            "user": account.owner,
            "made": self.made,
        }
        self.console.result(text, content)


COMMANDS: Final = (
    Command(
        "login",
        "Ask for the proxy's URL and a key, check both, and write the configuration",
        _run,
        (
            argument("--url", metavar="URL", help="the proxy's URL, which is not asked for then"),
            argument(
                "--admin",
                action="store_true",
                help="ask for the proxy's admin key, and make a user and a key with it; the admin"
                " key is not kept",
            ),
            argument(
                "--user", metavar="NAME", help="with --admin: the user (default: your name here)"
            ),
            argument(
                "--key-stdin",
                action="store_true",
                help="take the key from standard input, its first line, and ask nothing",
            ),
        ),
        interrupted=lambda _: "interrupted: the configuration is as it was",
    ),
)
