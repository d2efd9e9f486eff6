"""The command that asks for the proxy and a key: login."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

from sandbox_client import accounts
from sandbox_client.config import config_from_values, config_path, configured_url, env_overrides
from sandbox_client.config_file import (
    check_writable,
    printable_path,
    read_config_file,
    update_config_file,
)
from sandbox_client.errors import InvalidInput, KeyRejected, SandboxError
from sandbox_client.presentation.errors import next_step
from sandbox_client.provider import ClientProvider
from sandbox_client.text import KEY_PREFIX, as_word

from .command import OK, Argument, command
from .console import Console
from .prompting import prompter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from sandbox_client.accounts import Administration
    from sandbox_client.api.accounts import User
    from sandbox_client.config import Config

    from .prompting import Prompter

T = TypeVar("T")

_ANSWER_CAUSE = "the value that was given; the configuration is unchanged."
_KEY_CAUSE = "the key that was given; the configuration is unchanged."
_KEY_ADVICE = (
    "Check that it is a key for this proxy and that all of it was pasted; otherwise ask the proxy's"
    " administrator for a new one."
)
_NEW_KEY_CAUSE = "the proxy, which has just made this key; the configuration is unchanged."
_NEW_KEY_ADVICE = "Log in again; if it happens again, tell the proxy's administrator."


@command(interrupted="interrupted: the configuration is unchanged")
async def login(
    provider: ClientProvider,
    console: Console,
    *,
    url: Annotated[
        str | None,
        Argument("--url", metavar="URL", help="the proxy's URL (default: ask for it)"),
    ] = None,
    admin: Annotated[
        bool,
        Argument(
            "--admin",
            help="ask for the proxy's admin key, and create a user and a key with it; the admin"
            " key is not stored",
        ),
    ] = False,
    user: Annotated[
        str | None,
        Argument(
            "--user", metavar="NAME", help="with --admin: the user (default: your local user name)"
        ),
    ] = None,
    key_stdin: Annotated[
        bool,
        Argument(
            "--key-stdin",
            help="read the key from the first line of standard input, and ask nothing",
        ),
    ] = False,
) -> int:
    """Ask for the proxy's URL and a key, check both, and write the configuration."""
    if user is not None and not admin:
        raise InvalidInput(
            "--user was given without --admin",
            advice="Add --admin, or leave --user out: a user's key belongs to one user.",
        )
    dialog = Login(provider, console, prompter(key_stdin=key_stdin))
    return await dialog.run(url=url, user=user, is_admin=admin)


@dataclass(frozen=True)
class _Account:
    """A configuration with a key that the proxy accepts, and the name of the key's user."""

    config: Config
    owner: str


@dataclass
class Login:
    """One login; `created` lists its new users and keys, which the proxy keeps if it fails.

    `requested` is the user or the key that is being created.
    """

    provider: ClientProvider
    console: Console
    prompter: Prompter
    created: list[str] = field(default_factory=list[str])
    requested: str = ""

    async def run(self, *, url: str | None, user: str | None, is_admin: bool) -> int:
        """Ask for the URL and the key, check them, write the file and return the exit code.

        `url` and `user` are asked for only if they are None or turn out to be wrong.
        """
        path = config_path(self.provider.environ)
        file = read_config_file(path, optional=True)  # rejected before the first question
        check_writable(path)
        try:
            config = await self._ask_proxy(url, configured_url(self.provider.environ, file))
            pending = self._ask_admin_key(config, user) if is_admin else self._ask_key(config)
            account = await pending
            changes = {"proxyUrl": config.proxy_url, "apiKey": account.config.api_key}
            update_config_file(path, changes)
        except BaseException:
            self._print_leftovers()
            raise
        self._print_result(account, printable_path(path))
        return OK

    async def _ask_proxy(self, url: str | None, known: str) -> Config:
        """Ask for the URL until the proxy answers; return the configuration without a key."""

        def ask(previous: str) -> str:
            return self.prompter.text("The proxy's URL", previous or known or accounts.DEFAULT_URL)

        async def check(answer: str) -> Config:
            config = config_from_values(self.provider.environ, answer)
            with self.console.waiting(f"connecting to {config.proxy_url}"):
                await accounts.check_health(self.provider, config)
            return config

        config = await self._ask_until_valid(ask, check, first=url)
        self.console.say(f"The proxy at {config.proxy_url} answers.")
        if config.is_in_clear:
            self.console.say(
                "Warning: http is not encrypted: others on the network can read the key."
            )
        return config

    async def _ask_key(self, config: Config) -> _Account:
        """Ask for the user's key until the proxy accepts it; it may turn out the admin key."""

        async def check(answer: str) -> _Account | str:
            if answer and not answer.startswith(KEY_PREFIX) and self._is_admin_key():
                return answer
            return await self._check_key(config, answer)

        found = await self._ask_until_valid(self._secret_question("Your API key"), check)
        if isinstance(found, _Account):
            return found
        return await self._ask_admin_key(config, None, found)

    def _is_admin_key(self) -> bool:
        words = f"This is no user's key ({KEY_PREFIX}…). Is it the admin key?"
        return self.prompter.confirm(words, default=False)

    async def _ask_admin_key(
        self, config: Config, user: str | None, admin_key: str | None = None
    ) -> _Account:
        """Ask for the admin key and the user, and create a key for the user."""

        async def check(answer: str) -> Administration:
            administration = accounts.open_administration(self.provider, config, answer)
            with self.console.waiting("checking the admin key"):
                await administration.users()
            return administration

        def ask_user(previous: str) -> str:
            return self.prompter.text("The user to create a key for", previous or suggestion)

        suggestion = accounts.suggest_user_name(accounts.local_name())
        ask = self._secret_question("The proxy's admin key, which is not stored")
        administration = await self._ask_until_valid(ask, check, first=admin_key)
        key = await self._ask_until_valid(
            ask_user, partial(self._create_key, administration), first=user
        )
        try:
            return await self._read_account(config, key)
        except KeyRejected as error:
            raise error.but(cause=_NEW_KEY_CAUSE, advice=_NEW_KEY_ADVICE) from None

    async def _create_key(self, administration: Administration, name: str) -> str:
        """Return a new key of the user; create the user if the name is new."""
        user = await administration.find(accounts.check_user_name(name))
        if user is None:
            with self._requesting(f"user '{name}'"):
                user = await administration.create_user(name)
            self.console.say(f"User '{name}' was created.")
        else:
            self._confirm_existing(user)
        key_name = accounts.new_key_name()
        with self._requesting(f"the key '{key_name}' of user '{name}'"):
            key = await administration.create_key(user, key_name)
        self.console.say(f"The key '{key_name}' was created for user '{name}'.")
        return key

    @contextlib.contextmanager
    def _requesting(self, thing: str) -> Generator[None]:
        """Set `requested` while the body creates `thing`; after an interruption it stays set."""
        self.requested = thing
        try:
            with self.console.waiting(f"creating {thing}"):
                yield
        except SandboxError:  # its advice says whether it may have been created
            self.requested = ""
            raise
        self.requested = ""
        self.created.append(thing)

    def _confirm_existing(self, user: User) -> None:
        """Reject an existing user if it is inactive or another key is not wanted."""
        if not user.is_active:
            raise InvalidInput(
                f"User '{user.name}' is not active, so the proxy rejects its keys",
                advice="Activate the user first, or give another name.",
            )
        words = f"User '{user.name}' exists already. Create another key for it?"
        if not self.prompter.confirm(words, default=True):
            raise InvalidInput(
                f"No key was created for user '{user.name}'", advice="Give another name."
            )
        self.console.say(f"User '{user.name}' existed already.")

    async def _check_key(self, config: Config, key: str) -> _Account:
        """Return the account of a key that the proxy accepts."""
        if not key:
            raise InvalidInput(
                "No key was given", advice="Paste the key: `sk_live_` and 32 characters."
            )
        try:
            return await self._read_account(config, key)
        except KeyRejected as error:
            is_usual = error.advice == KeyRejected.advice
            advice = _KEY_ADVICE if is_usual else error.advice
            raise error.but(cause=_KEY_CAUSE, advice=advice) from None

    async def _read_account(self, config: Config, key: str) -> _Account:
        with_key = config_from_values(self.provider.environ, config.proxy_url, key)
        with self.console.waiting("checking the key"):
            return _Account(with_key, await accounts.key_owner(self.provider, with_key))

    def _secret_question(self, question: str) -> Callable[[str], str]:
        def ask(previous: str) -> str:
            again = "; Enter tries the same key again" if previous else ""
            return self.prompter.secret(f"{question} (hidden as you type{again})") or previous

        return ask

    async def _ask_until_valid(
        self,
        ask: Callable[[str], str],
        check: Callable[[str], Awaitable[T]],
        *,
        first: str | None = None,
    ) -> T:
        """Return the result of `check` for a valid answer; `ask` gets the previous, wrong one."""
        answer = ask("") if first is None else first
        for _ in range(self.prompter.attempts - 1):
            try:
                return await check(answer)
            except SandboxError as error:
                self.console.say(f"error: {error.message}")
                self.console.say(f"next:  {next_step(error, self.console.format_verb)}")
            answer = ask(answer)
        try:
            return await check(answer)
        except InvalidInput as error:  # other answers may have been sent before
            raise error.but(cause=_ANSWER_CAUSE) from None

    def _print_leftovers(self) -> None:
        if self.created:
            self.console.say(
                f"The configuration is unchanged. The proxy keeps"
                f" {', '.join(self.created)}. Log in again to use that user; a key that is not in"
                " the configuration is lost."
            )
        if self.requested:
            self.console.say(
                f"The proxy may have created {self.requested}: the request was sent, and the login"
                " ended before the answer. Log in again, which names an existing user; a key that"
                " was created is lost. docs/deploy.md shows how to list users, and to list and"
                " revoke keys."
            )

    def _print_result(self, account: _Account, place: str) -> None:
        for name, variable in env_overrides(self.provider.environ).items():
            if name in {"proxyUrl", "apiKey"}:
                self.console.say(f"Warning: {variable} is set and overrides the file: unset it.")
        text = (
            f"The key belongs to {as_word(account.owner)}. It is in {place}, which only you can"
            " read.\n"
            "Next: `remote-sandbox create my-sandbox` creates a sandbox;\n"
            "`remote-sandbox doctor` checks the connection."
        )
        content = {
            "config": place,
            "proxy_url": account.config.proxy_url,
            "user": account.owner,
            "made": self.created,
        }
        self.console.result(text, content)
