"""The proxy's rules: authentication, users, keys, sandboxes, the quota, taken names and races.

The module is independent of HTTP. The handlers (`api`), seeds and the routes below `/_fake/`
(`control`) call it, and tests override its methods to create proxies with bugs.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import cycle

from sandbox_fakeproxy.runtime.interface import Runtime

from .clock import Clock, Instant
from .controller import Controller, Phase, Status
from .errors import AlreadyExists, APIError, Quirk, UnusableAdminKey, vanished_error
from .ids import PREFIX_SHOWN, IdGenerator
from .model import ApiKey, FailureMode, Intent, Sandbox, User, initial_failure_mode
from .store import Store

QUOTA = 10  # sandboxes per user
NAMESPACE_LIMIT = 63  # characters, as for every DNS label
DEFAULT_IMAGE = "ghcr.io/agent-infra/sandbox:latest"
ADMIN_CALLER = "admin"  # the logged caller of requests with the admin key
# The scheme is case-sensitive, and exactly one space follows it.
CREDENTIALS = re.compile(r"Bearer ([^ ]+)")
_BLANKS = " \t"  # HTTP allows them around the value of a header field
_NO_ACCESS = "You do not have access to this sandbox"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in which the deployed proxy differs. The defaults are those of the contract."""

    # Matches an `Authorization` header; group 1 is the key.
    credentials: re.Pattern[str] = CREDENTIALS
    # Creating a sandbox with another name, or with a longer image, fails halfway: there is no
    # sandbox, but its name is reserved for ever. None: no such limit.
    complete_name: re.Pattern[str] | None = None
    complete_image_limit: int | None = None
    # Whether deleting a user leaves the resources of the user's sandboxes behind.
    leaves_orphans: bool = False
    # Whether a sandbox without a resource can be deleted.
    deletes_vanished: bool = True
    # Whether the next sandbox with the name of a deleted one gets its files.
    keeps_files: bool = False
    # Seconds between the look-up of a sandbox and its use, in which other requests may change it.
    race_window: float = 0.0
    # The quirks, in turn, of requests that find their sandbox deleted after that time.
    deletion_race_quirks: Sequence[Quirk] = (Quirk.LOST_RACE,)

    def is_complete(self, name: str, image: str) -> bool:
        """Return whether a sandbox with this name and image is created completely."""
        if self.complete_name is not None and self.complete_name.fullmatch(name) is None:
            return False
        return self.complete_image_limit is None or len(image) <= self.complete_image_limit


DEFAULT_RULES = Rules()


class Service:
    """The proxy's operations. The routes check which caller may use which operation.

    Raises:
        UnusableAdminKey: no header can carry the admin key.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: IdGenerator,
        controller: Controller,
        runtime: Runtime,
        rules: Rules,
        admin_key: str,
    ) -> None:
        if re.fullmatch(r"[!-~]+", admin_key) is None:
            raise UnusableAdminKey(
                "The admin key must be printable ASCII without spaces, and not empty."
                " Set ADMIN_API_KEY to such a key, or unset it to have one created."
            )
        self.store = store
        self.clock = clock
        self.ids = ids
        self.controller = controller
        self.runtime = runtime
        self.rules = rules
        if not rules.keeps_files:
            store.forget_kept_files()
        self._admin_digest = digest(admin_key)
        self._pending_changes = set[str]()  # ids of sandboxes that a request is changing
        self._deletion_race_quirks = cycle(rules.deletion_race_quirks)

    # Keys in requests ---------------------------------------------------------------------------

    def authenticate(self, authorization: str | None) -> User:
        """Return the user of the key in an `Authorization` header, and record the use of the key.

        Raises:
            APIError: 401, with the first of the contract's reasons that applies.
        """
        found = self.find_key(self.key_in(authorization))
        if found is None:
            raise APIError(401, "Invalid API key")
        key, user = found
        now = self.clock.now()
        self.check_key(key, user, now)
        self.note_use(key, now)
        return user

    def find_key(self, secret: str) -> tuple[ApiKey, User] | None:
        """Return the key with that secret, even if it is not valid, and its user."""
        key_digest = digest(secret)
        found = self.store.key_by_hash(key_digest)
        # The index look-up compares hashes in variable time; this comparison takes constant time.
        if found is None or not hmac.compare_digest(found[0], key_digest):
            return None
        return found[1], found[2]

    def note_use(self, key: ApiKey, now: datetime) -> None:
        """Record when a key was last used."""
        self.store.note_use(key.id, now)

    def check_key(self, key: ApiKey, user: User, now: datetime) -> None:
        """Require that a key is valid.

        Raises:
            APIError: 401, the key or its user is inactive, or the key has expired.
        """
        if not key.is_active:
            raise APIError(401, "API key is inactive")
        if not user.is_active:
            raise APIError(401, "User account is inactive")
        if key.expires_at is not None and Instant.of(now) >= key.expires_at:
            raise APIError(401, "API key has expired")

    def authenticate_admin(self, authorization: str | None) -> None:
        """Require the admin key in an `Authorization` header.

        Raises:
            APIError: 401 for a missing or malformed header, 403 for any other key.
        """
        if not self._is_admin_key(self.key_in(authorization)):
            raise APIError(403, "Invalid admin API key")

    def find_caller(self, authorization: str | None) -> str | None:
        """Return the caller to log for a request, even if its key is not accepted.

        It is the username, `admin` for the admin key, and None for an unknown key.
        """
        try:
            secret = self.key_in(authorization)
        except APIError:
            return None
        if self._is_admin_key(secret):
            return ADMIN_CALLER
        found = self.find_key(secret)
        return found and found[1].username

    def key_in(self, authorization: str | None) -> str:
        """Return the key in an `Authorization` header.

        Raises:
            APIError: 401, the header is missing or malformed.
        """
        # A server strips these blanks; a call of the app in process does not.
        value = (authorization or "").strip(_BLANKS)
        if not value:
            raise APIError(401, "Missing Authorization header")
        match = self.rules.credentials.fullmatch(value)
        if match is None:
            raise APIError(401, "Invalid Authorization header format. Expected: Bearer <api-key>")
        return match[1]

    def _is_admin_key(self, secret: str) -> bool:
        return hmac.compare_digest(digest(secret), self._admin_digest)

    # The proxy itself ---------------------------------------------------------------------------

    def is_database_available(self) -> bool:
        """Return whether the database answers."""
        return self.store.is_available()

    # Users --------------------------------------------------------------------------------------

    def create_user(self, username: str, email: str | None, *, is_active: bool = True) -> User:
        """Add a user.

        Raises:
            APIError: 409, the username is taken.
        """
        now = self.clock.now()
        user = User(self.ids.uuid(), username, email, is_active, now, now)
        try:
            self.store.add_user(user)
        except AlreadyExists as exc:
            raise APIError(409, str(exc)) from exc
        return user

    def users(self, *, active_only: bool = False) -> list[User]:
        """Return all users, newest first."""
        return self.store.users(active_only=active_only)

    def user(self, user_id: str) -> User:
        """Return the user with that id.

        Raises:
            APIError: 404.
        """
        user = self.store.user(user_id)
        if user is None:
            raise APIError(404, "User not found")
        return user

    def update_user(self, before: User, after: User) -> User:
        """Store a user unless nothing has changed; return the stored user."""
        if after == before:
            return before
        changed = replace(after, updated_at=self.clock.now())
        self.store.update_user(changed)
        return changed

    async def delete_user(self, user: User) -> None:
        """Delete a user with all keys and sandboxes.

        Raises:
            APIError: 500 as deployed: the user is deleted, but the sandboxes' names stay reserved.
        """
        sandboxes = self.store.sandboxes(user.id)
        self.store.delete_user(user.id)
        if self.rules.leaves_orphans:
            for sandbox in sandboxes:
                self.store.reserve_name(user.namespace, sandbox.name)
        for sandbox in sandboxes:
            await self.runtime.remove(sandbox.id)
        if self.rules.leaves_orphans:
            raise APIError(500, "The user was deleted, but the sandboxes were not", Quirk.ORPHANS)

    # Keys ---------------------------------------------------------------------------------------

    def create_key(
        self,
        user: User,
        name: str | None,
        expires_at: Instant | None,
        *,
        secret: str | None = None,
        is_active: bool = True,
    ) -> tuple[str, ApiKey]:
        """Create a key; return its secret, which is available only here, and the key."""
        secret = secret if secret is not None else self.ids.api_key()
        key = ApiKey(
            id=self.ids.uuid(),
            user_id=user.id,
            key_prefix=secret[:PREFIX_SHOWN],
            name=name,
            is_active=is_active,
            created_at=self.clock.now(),
            expires_at=expires_at,
            last_used_at=None,
        )
        self.store.add_key(key, digest(secret))
        return secret, key

    def keys(self, user: User) -> list[ApiKey]:
        """Return a user's keys, newest first, including revoked ones."""
        return self.store.keys(user.id)

    def revoke_key(self, key_id: str, *, owner: User | None = None) -> None:
        """Revoke a key, even if it is revoked already; with `owner`, only a key of that user.

        Raises:
            APIError: 404 for an unknown key, 403 for another user's.
        """
        key = self.store.key(key_id)
        if key is None:
            raise APIError(404, "API key not found")
        if owner is not None and key.user_id != owner.id:
            raise APIError(403, "You do not own this API key")
        self.revoke(key)

    def revoke(self, key: ApiKey) -> None:
        """Deactivate a key; it stays listed."""
        self.store.revoke_key(key.id)

    # Sandboxes ----------------------------------------------------------------------------------

    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        """Return a user's sandbox.

        Raises:
            APIError: 403, whether or not another user has a sandbox with that name.
        """
        sandbox = self.store.sandbox(user.id, name)
        if sandbox is None:
            raise APIError(403, _NO_ACCESS, Quirk.NUL_IN_NAME if "\0" in name else None)
        return sandbox

    def sandbox_of(self, username: str, name: str) -> Sandbox:
        """Return a sandbox by its owner's name, for testers.

        Raises:
            LookupError: there is no such user or sandbox.
        """
        user = self.store.user_named(username)
        if user is None:
            raise LookupError(f"There is no user '{username}'")
        sandbox = self.store.sandbox(user.id, name)
        if sandbox is None:
            raise LookupError(f"User '{username}' has no sandbox '{name}'")
        return sandbox

    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        """Create a sandbox; it becomes ready after `ready_after` seconds of the fake's clock.

        Raises:
            APIError: the name is taken, the quota is used up, or the user was deleted.
        """
        self.require_free(user, name)
        await self.let_others_come_between()
        self.require_quota(user)
        if self.store.user(user.id) is None:
            message = f"User '{user.username}' was deleted by another request"
            raise APIError(409, message, Quirk.LOST_RACE)
        if not self.rules.is_complete(name, image):
            self.store.reserve_name(user.namespace, name)
            raise APIError(500, f"Sandbox '{name}' was created only partly", Quirk.RESERVED)
        now = self.clock.now()
        intent = Intent(initial_failure_mode(name, image), is_paused=False, since=now)
        sandbox_id = self.store.kept_id(user.namespace, name) or self.ids.uuid()
        sandbox = Sandbox(sandbox_id, user.id, name, image, now, intent)
        try:
            self.store.add_sandbox(sandbox)
        except AlreadyExists as exc:
            raise APIError(409, str(exc), Quirk.LOST_RACE) from exc
        return sandbox

    def add_sandbox(
        self, user: User, name: str, image: str, failure_mode: FailureMode, phase: Phase
    ) -> Sandbox:
        """Add a sandbox that has reached a phase by now, for a seed: the rules are not checked.

        It is created at the time in the past from which it has that phase now.
        """
        now, is_paused = self.clock.now(), phase is Phase.PAUSED
        ready_age = self.controller.age(Phase.READY if is_paused else phase)
        if failure_mode is not FailureMode.RUNNING and phase is not Phase.UNRECONCILED:
            ready_age = max(ready_age, self.controller.age(Phase.FAILED))
        reached_at = now - self.controller.age(Phase.PAUSED) if is_paused else now
        created_at = reached_at - ready_age
        intent = Intent(failure_mode, is_paused=False, since=created_at)
        sandbox = Sandbox(self.ids.uuid(), user.id, name, image, created_at, intent)
        if is_paused:
            sandbox = self.controller.paused(sandbox, reached_at)
        self.store.add_sandbox(sandbox)
        return sandbox

    def require_free(self, user: User, name: str) -> None:
        """Require that a user can have a new sandbox with this name.

        Raises:
            APIError: 409 for a taken or reserved name, 400 for a namespace that is too long.
        """
        if self.store.sandbox(user.id, name) is not None:
            raise APIError(409, f"Sandbox '{name}' already exists")
        if self.store.is_reserved(user.namespace, name):
            raise APIError(409, f"Sandbox '{name}' exists only partly", Quirk.RESERVED)
        if len(user.namespace) > NAMESPACE_LIMIT:
            message = f"Namespace '{user.namespace}' has more than {NAMESPACE_LIMIT} characters"
            raise APIError(400, message, Quirk.NAMESPACE)

    def require_quota(self, user: User) -> None:
        """Require that a user may have one more sandbox.

        Raises:
            APIError: 403, the quota is used up.
        """
        taken = self.store.count_sandboxes(user.id) + self.store.count_reserved(user.namespace)
        if taken >= QUOTA:
            message = f"Sandbox quota exceeded: a user may have {QUOTA} sandboxes"
            raise APIError(403, f"{message}, paused ones counted", Quirk.QUOTA)

    def sandboxes(self, user: User) -> list[Status]:
        """Return the status of a user's sandboxes, newest first, all at the same time."""
        now = self.clock.now()
        return [self.status_at(sandbox, now) for sandbox in self.store.sandboxes(user.id)]

    def status(self, sandbox: Sandbox) -> Status:
        """Return the current status of a sandbox.

        Raises:
            APIError: 502, its resource is gone.
        """
        status = self.status_at(sandbox, self.clock.now())
        if status.phase is Phase.VANISHED:
            raise vanished_error(sandbox.name)
        return status

    def status_at(self, sandbox: Sandbox, now: datetime) -> Status:
        """Return the status of a sandbox at a time."""
        return self.controller.status(sandbox, now)

    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        """Delete a sandbox, kill its processes and, unless `rules.keeps_files`, delete its files.

        Raises:
            APIError: another request has changed the sandbox, or its resource is gone.
        """
        await self._require_unchanged(sandbox)
        if not self.rules.deletes_vanished:
            self._require_resource(sandbox)
        with self.store.transaction():
            self.store.delete_sandbox(sandbox.id)
            if self.rules.keeps_files:
                self.store.keep_files(user.namespace, sandbox)
        if self.rules.keeps_files:
            await self.runtime.stop(sandbox.id)
        else:
            await self.runtime.remove(sandbox.id)

    async def pause_sandbox(self, sandbox: Sandbox) -> None:
        """Pause a sandbox: kill its processes, and keep only its files in /sandbox.

        Raises:
            APIError: another request has changed the sandbox, or its resource is gone.
        """
        await self._require_unchanged(sandbox)
        now = self._require_resource(sandbox)
        self.store.update_sandbox(self.controller.paused(sandbox, now))
        await self.runtime.stop(sandbox.id)

    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        """Resume a paused sandbox; it becomes ready after `ready_after` seconds.

        Raises:
            APIError: another request has changed the sandbox, or its resource is gone.
        """
        await self._require_unchanged(sandbox)
        now = self._require_resource(sandbox)
        self.store.update_sandbox(self.controller.resumed(sandbox, now))

    async def set_failure_mode(self, sandbox: Sandbox, failure_mode: FailureMode) -> Sandbox:
        """Set the failure mode of a sandbox, and kill its processes if that changes it."""
        changed = self.controller.with_failure_mode(sandbox, failure_mode, self.clock.now())
        self.store.update_sandbox(changed)
        if changed != sandbox:
            await self.runtime.stop(changed.id)
        return changed

    # Requests to sandboxes ----------------------------------------------------------------------

    def require_ready(self, sandbox: Sandbox) -> None:
        """Require that a sandbox can answer a request now.

        Raises:
            APIError: 503, or 502 if its resource is gone.
        """
        now = self.clock.now()
        status = self.status_at(sandbox, now)
        if status.condition is None:
            raise vanished_error(sandbox.name)
        if not status.has_service:
            raise APIError(503, "Sandbox service not ready")
        if not status.condition.ready:
            raise APIError(503, "Sandbox not ready")
        if not self.controller.accepts_commands(sandbox, now):
            raise APIError(503, "Sandbox not ready", Quirk.PAUSED)
        if not self.controller.is_listening(sandbox, now):
            raise APIError(503, "Sandbox not ready", Quirk.NOT_LISTENING)

    async def after_changes(self, sandbox: Sandbox) -> Sandbox:
        """Wait for a concurrent change of a sandbox, and return the sandbox as stored then.

        Raises:
            APIError: 403, the sandbox was deleted.
        """
        if sandbox.id not in self._pending_changes:
            return sandbox
        await self.let_others_come_between()
        current = self.current(sandbox)
        if current is None:
            raise APIError(403, _NO_ACCESS, Quirk.DELETED_BELOW_PROXY)
        return current

    def current(self, sandbox: Sandbox) -> Sandbox | None:
        """Return a sandbox as it is stored now, or None if it was deleted."""
        current = self.store.sandbox(sandbox.user_id, sandbox.name)
        return current if current is not None and current.id == sandbox.id else None

    # Races --------------------------------------------------------------------------------------

    async def let_others_come_between(self) -> None:
        """Sleep for `rules.race_window` seconds, in which other requests are handled."""
        if self.rules.race_window:
            await asyncio.sleep(self.rules.race_window)

    async def _require_unchanged(self, sandbox: Sandbox) -> None:
        """Sleep for `rules.race_window`, and require that the sandbox is still as it was.

        Raises:
            APIError: 409, another request has changed or deleted it.
        """
        self._pending_changes.add(sandbox.id)
        try:
            await self.let_others_come_between()
        finally:
            self._pending_changes.discard(sandbox.id)
        current = self.store.sandbox(sandbox.user_id, sandbox.name)
        if current != sandbox:
            quirk = next(self._deletion_race_quirks) if current is None else Quirk.LOST_RACE
            raise APIError(409, f"Sandbox '{sandbox.name}' was changed by another request", quirk)

    def _require_resource(self, sandbox: Sandbox) -> datetime:
        """Require that a sandbox has a resource; return the time at which it has one, which is now.

        Raises:
            APIError: 502, the resource is gone.
        """
        now = self.clock.now()
        if self.controller.has_vanished(sandbox, now):
            raise vanished_error(sandbox.name)
        return now


def digest(secret: str) -> bytes:
    """Return the hash under which a secret is stored."""
    # A header is decoded as latin-1, which has a character for each byte; keys are ASCII.
    return hashlib.sha256(secret.encode("latin-1")).digest()
