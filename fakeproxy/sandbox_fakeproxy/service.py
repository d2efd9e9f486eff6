"""The proxy's rules: authentication, users, keys, sandboxes, the quota, taken names and races.

It knows no HTTP. Handlers (`api`), seeds and the routes below `/_fake/` (`control`) use it, and
tests replace its methods to make a wrong proxy.
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
from .controller import Condition, Controller, Phase
from .errors import AlreadyExists, APIError, Quirk, UnusableAdminKey, vanished
from .ids import PREFIX_SHOWN, IdGenerator
from .model import ApiKey, FailureMode, Intent, Sandbox, User, failure_mode_of
from .store import Store

QUOTA = 10  # sandboxes of a user
NAMESPACE_LIMIT = 63  # as of every DNS label
DEFAULT_IMAGE = "ghcr.io/agent-infra/sandbox:latest"
ADMIN_CALLER = "admin"  # under which requests with the admin key are logged
# The scheme is case-sensitive, and exactly one space follows it.
CREDENTIALS = re.compile(r"Bearer ([^ ]+)")
_BLANKS = " \t"  # which HTTP allows around the value of any header field
_NO_ACCESS = "You do not have access to this sandbox"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that the deployed proxy keeps otherwise. The defaults are the sane ones."""

    # The key in an `Authorization` header: group 1.
    credentials: re.Pattern[str] = CREDENTIALS
    # A sandbox with another name, or with a longer image, is made only by half: its name is
    # reserved for ever. None: there are no such ones.
    complete_name: re.Pattern[str] | None = None
    complete_image_limit: int | None = None
    # Whether the sandboxes of a deleted user are left behind.
    leaves_orphans: bool = False
    # Whether a sandbox whose resource is gone can be deleted.
    deletes_vanished: bool = True
    # Whether the files of a sandbox that is deleted are those of the next one of that name.
    keeps_files: bool = False
    # Seconds between the look-up of a sandbox and its use, in which other requests may come.
    window: float = 0.0
    # The faults of requests that find a sandbox deleted in that time, one after the other.
    gone: Sequence[Quirk] = (Quirk.LOST_RACE,)

    def is_complete(self, name: str, image: str) -> bool:
        """Tell whether a sandbox of that name and image is made completely."""
        if self.complete_name is not None and self.complete_name.fullmatch(name) is None:
            return False
        return self.complete_image_limit is None or len(image) <= self.complete_image_limit


DEFAULT_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Status:
    """A sandbox as the controller reports it; without a resource it has no condition."""

    sandbox: Sandbox
    phase: Phase
    has_service: bool
    condition: Condition | None


class Service:
    """The proxy's operations. The routes check which caller may use which.

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
                " Set ADMIN_API_KEY to such a key, or unset it to have one made."
            )
        self.store = store
        self.clock = clock
        self.ids = ids
        self.controller = controller
        self.runtime = runtime
        self.rules = rules
        self._admin_digest = digest(admin_key)
        self._changing = set[str]()  # ids of sandboxes that a request is about to change
        self._faults_of_losers = cycle(rules.gone)

    # Keys in requests ---------------------------------------------------------------------------

    def authenticate(self, authorization: str | None) -> User:
        """Return the user of the key in an `Authorization` header, and note that it was used.

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
        """Return the key with that secret, valid or not, and its user."""
        key_digest = digest(secret)
        found = self.store.key_by_hash(key_digest)
        # The index found it by its hash already; the comparison that decides takes constant time.
        if found is None or not hmac.compare_digest(found[0], key_digest):
            return None
        return found[1], found[2]

    def note_use(self, key: ApiKey, now: datetime) -> None:
        """Note when a key was last used."""
        self.store.note_use(key.id, now)

    def check_key(self, key: ApiKey, user: User, now: datetime) -> None:
        """Refuse a key that opens nothing any more.

        Raises:
            APIError: 401.
        """
        if not key.is_active:
            raise APIError(401, "API key is inactive")
        if not user.is_active:
            raise APIError(401, "User account is inactive")
        if key.expires_at is not None and Instant.of(now) >= key.expires_at:
            raise APIError(401, "API key has expired")

    def authenticate_admin(self, authorization: str | None) -> None:
        """Let only the admin key pass.

        Raises:
            APIError: 401 for a faulty header, 403 for any other key.
        """
        if not self._is_admin_key(self.key_in(authorization)):
            raise APIError(403, "Invalid admin API key")

    def find_caller(self, authorization: str | None) -> str | None:
        """Return the name under which a request is logged, even if its key is not accepted.

        It is a user's name, `admin` for the admin key, and None for an unknown key.
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
            APIError: 401, there is none.
        """
        # A server strips these blanks; a client that calls the app in process does not.
        value = (authorization or "").strip(_BLANKS)
        if not value:
            raise APIError(401, "Missing Authorization header")
        match = self.rules.credentials.fullmatch(value)
        if match is None:
            raise APIError(401, "Invalid Authorization header format. Expected: Bearer <api-key>")
        return match[1]

    def _is_admin_key(self, secret: str) -> bool:
        return hmac.compare_digest(digest(secret), self._admin_digest)

    # Users --------------------------------------------------------------------------------------

    def create_user(self, username: str, email: str | None, *, is_active: bool = True) -> User:
        """Add a user.

        Raises:
            APIError: 409, the name is taken.
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
        """Return the user of that id.

        Raises:
            APIError: 404.
        """
        user = self.store.user(user_id)
        if user is None:
            raise APIError(404, "User not found")
        return user

    def update_user(self, before: User, after: User) -> User:
        """Store a changed user, if it has changed; return the user as it is then."""
        if after == before:
            return before
        changed = replace(after, updated_at=self.clock.now())
        self.store.update_user(changed)
        return changed

    async def delete_user(self, user: User) -> None:
        """Remove a user with all keys and sandboxes.

        Raises:
            APIError: 500, as deployed: the user is gone, and the names of the sandboxes are not.
        """
        sandboxes = self.store.sandboxes(user.id)
        self.store.delete_user(user.id)
        if self.rules.leaves_orphans:
            for sandbox in sandboxes:
                self.store.reserve_name(user.namespace, sandbox.name)
        for sandbox in sandboxes:
            await self.runtime.remove(sandbox.id)
        if self.rules.leaves_orphans:
            raise APIError(500, "The user is gone and the sandboxes are not", Quirk.ORPHANS)

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
        """Make a key; return its secret, this once, and the key."""
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
        """Return a user's keys, newest first, the revoked ones too."""
        return self.store.keys(user.id)

    def revoke_key(self, key_id: str, *, owner: User | None = None) -> None:
        """Revoke a key, of that owner if one is given; again is fine.

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
        """Make a key useless; it stays listed."""
        self.store.revoke_key(key.id)

    # Sandboxes ----------------------------------------------------------------------------------

    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        """Return a user's sandbox.

        Raises:
            APIError: 403, the same whether or not another user has one of that name.
        """
        sandbox = self.store.sandbox(user.id, name)
        if sandbox is None:
            raise APIError(403, _NO_ACCESS, Quirk.NUL_IN_NAME if "\0" in name else None)
        return sandbox

    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        """Make a sandbox; it becomes ready as time passes.

        Raises:
            APIError: the name is taken, or the user may have no more.
        """
        self.require_free(user, name)
        await self.let_others_come_between()
        self.require_quota(user)
        if self.store.user(user.id) is None:
            raise APIError(409, f"User '{user.username}' was deleted meanwhile", Quirk.LOST_RACE)
        if not self.rules.is_complete(name, image):
            self.store.reserve_name(user.namespace, name)
            raise APIError(500, f"Sandbox '{name}' was created by half", Quirk.RESERVED)
        now = self.clock.now()
        intent = Intent(failure_mode_of(name, image), is_paused=False, since=now)
        sandbox_id = self.store.kept_id(user.namespace, name) or self.ids.uuid()
        sandbox = Sandbox(sandbox_id, user.id, name, image, now, intent)
        try:
            self.store.add_sandbox(sandbox)
        except AlreadyExists as exc:
            raise APIError(409, str(exc), Quirk.LOST_RACE) from exc
        return sandbox

    def require_free(self, user: User, name: str) -> None:
        """Refuse a name that is taken, or can never be had.

        Raises:
            APIError: 409, or 400 for a namespace that is too long.
        """
        if self.store.sandbox(user.id, name) is not None:
            raise APIError(409, f"Sandbox '{name}' already exists")
        if self.store.is_reserved(user.namespace, name):
            raise APIError(409, f"Sandbox '{name}' exists by half", Quirk.RESERVED)
        if len(user.namespace) > NAMESPACE_LIMIT:
            message = f"Namespace '{user.namespace}' has more than {NAMESPACE_LIMIT} characters"
            raise APIError(400, message, Quirk.NAMESPACE)

    def require_quota(self, user: User) -> None:
        """Refuse more sandboxes than a user may have.

        Raises:
            APIError: 403.
        """
        taken = self.store.count_sandboxes(user.id) + self.store.count_reserved(user.namespace)
        if taken >= QUOTA:
            message = f"Sandbox quota exceeded: a user may have {QUOTA} sandboxes"
            raise APIError(403, f"{message}, paused ones counted", Quirk.QUOTA)

    def sandboxes(self, user: User) -> list[Status]:
        """Return a user's sandboxes, newest first, all at one time."""
        now = self.clock.now()
        return [self.status_at(each, now) for each in self.store.sandboxes(user.id)]

    def status(self, sandbox: Sandbox) -> Status:
        """Return a sandbox as the controller reports it now.

        Raises:
            APIError: 502, its resource is gone.
        """
        status = self.status_at(sandbox, self.clock.now())
        if status.phase is Phase.VANISHED:
            raise vanished(sandbox.name)
        return status

    def status_at(self, sandbox: Sandbox, now: datetime) -> Status:
        """Return a sandbox as the controller reports it at a time."""
        phase = self.controller.phase(sandbox, now)
        if phase is Phase.VANISHED:
            return Status(sandbox, phase, False, None)
        has_service = self.controller.has_service(sandbox, now)
        condition = self.controller.condition(sandbox, now, phase)
        return Status(sandbox, phase, has_service, condition)

    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        """Remove a sandbox with its processes and, unless files are kept, with those.

        Raises:
            APIError: another request has changed it meanwhile, or its resource is gone.
        """
        await self._in_window(sandbox)
        if not self.rules.deletes_vanished:
            self._now_that_it_exists(sandbox)
        with self.store.all_or_nothing():
            self.store.delete_sandbox(sandbox.id)
            if self.rules.keeps_files:
                self.store.keep_files(user.namespace, sandbox)
        if self.rules.keeps_files:
            await self.runtime.stop(sandbox.id)
        else:
            await self.runtime.remove(sandbox.id)

    async def pause_sandbox(self, sandbox: Sandbox) -> None:
        """Kill a sandbox's processes, and keep of its files those in /sandbox.

        Raises:
            APIError: another request has changed it meanwhile, or its resource is gone.
        """
        await self._in_window(sandbox)
        now = self._now_that_it_exists(sandbox)
        self.store.update_sandbox(self.controller.paused(sandbox, now))
        await self.runtime.stop(sandbox.id)

    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        """Let a paused sandbox become ready again.

        Raises:
            APIError: another request has changed it meanwhile, or its resource is gone.
        """
        await self._in_window(sandbox)
        now = self._now_that_it_exists(sandbox)
        self.store.update_sandbox(self.controller.resumed(sandbox, now))

    async def set_failure_mode(self, sandbox: Sandbox, failure_mode: FailureMode) -> Sandbox:
        """Have something become of a sandbox, as no request does; kill its processes."""
        changed = self.controller.with_failure_mode(sandbox, failure_mode, self.clock.now())
        self.store.update_sandbox(changed)
        if changed != sandbox:
            await self.runtime.stop(changed.id)
        return changed

    # Requests to sandboxes ----------------------------------------------------------------------

    def require_ready(self, sandbox: Sandbox) -> None:
        """Refuse a request that a sandbox cannot answer now.

        Raises:
            APIError: 503, or 502 where its resource is gone.
        """
        now = self.clock.now()
        status = self.status_at(sandbox, now)
        if status.condition is None:
            raise vanished(sandbox.name)
        if not status.has_service:
            raise APIError(503, "Sandbox service not ready")
        if not status.condition.ready:
            raise APIError(503, "Sandbox not ready")
        if not self.controller.accepts_commands(sandbox, now):
            raise APIError(503, "Sandbox not ready", Quirk.PAUSED)

    async def after_changes(self, sandbox: Sandbox) -> Sandbox:
        """Return a sandbox as it is once a change under way has been made.

        Raises:
            APIError: 403, it was deleted.
        """
        if sandbox.id not in self._changing:
            return sandbox
        await self.let_others_come_between()
        current = self.current(sandbox)
        if current is None:
            raise APIError(403, _NO_ACCESS, Quirk.DELETED_BELOW_PROXY)
        return current

    def current(self, sandbox: Sandbox) -> Sandbox | None:
        """Return a sandbox as it is stored now; None if it was deleted."""
        current = self.store.sandbox(sandbox.user_id, sandbox.name)
        return current if current is not None and current.id == sandbox.id else None

    # Races --------------------------------------------------------------------------------------

    async def let_others_come_between(self) -> None:
        """Wait for a moment in which other requests may come, where the proxy does."""
        if self.rules.window:
            await asyncio.sleep(self.rules.window)

    async def _in_window(self, sandbox: Sandbox) -> None:
        """Let others come between, and lose to them."""
        self._changing.add(sandbox.id)
        try:
            await self.let_others_come_between()
        finally:
            self._changing.discard(sandbox.id)
        current = self.store.sandbox(sandbox.user_id, sandbox.name)
        if current != sandbox:
            fault = next(self._faults_of_losers) if current is None else Quirk.LOST_RACE
            raise APIError(409, f"Sandbox '{sandbox.name}' was changed meanwhile", fault)

    def _now_that_it_exists(self, sandbox: Sandbox) -> datetime:
        """Return the time, unless the sandbox's resource is gone by then."""
        now = self.clock.now()
        if self.controller.has_vanished(sandbox, now):
            raise vanished(sandbox.name)
        return now


def digest(secret: str) -> bytes:
    """Return the hash under which a secret is kept."""
    # A header is decoded as latin-1, which has a character for each byte; keys are ASCII.
    return hashlib.sha256(secret.encode("latin-1")).digest()
