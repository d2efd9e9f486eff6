"""The sandbox routes: make, list, show, pause, resume, delete."""

from datetime import datetime
from itertools import cycle
from typing import Any

from sandbox_fakeproxy._clock import Clock, iso
from sandbox_fakeproxy._errors import AlreadyExists, Fault, Refusal, vanished
from sandbox_fakeproxy._http import Arguments, Reply
from sandbox_fakeproxy._mint import Mint
from sandbox_fakeproxy._runtime.interface import Runtime
from sandbox_fakeproxy._state.controller import Controller
from sandbox_fakeproxy._state.fates import fate_of
from sandbox_fakeproxy._state.profiles import Phase
from sandbox_fakeproxy._state.records import Intent, Sandbox, User
from sandbox_fakeproxy._state.store import Store

from .conduct import Conduct

QUOTA = 10
NAMESPACE_LIMIT = 63  # as of every DNS label
DEFAULT_IMAGE = "ghcr.io/agent-infra/sandbox:latest"


class Sandboxes:
    """The operations of a user on sandboxes."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        mint: Mint,
        controller: Controller,
        runtime: Runtime,
        conduct: Conduct,
        *,
        changing: set[str],
    ) -> None:
        """Keep the ids of sandboxes that a request is about to change in `changing`."""
        self._store = store
        self._clock = clock
        self._mint = mint
        self._controller = controller
        self._runtime = runtime
        self._conduct = conduct
        self._changing = changing
        self._gone = cycle(conduct.gone)

    async def create(self, user: User, asked: Arguments) -> Reply:
        """Make a sandbox; it becomes ready as time passes."""
        name = self._conduct.sandbox_name(asked.body)
        image = self._conduct.image(asked.body, DEFAULT_IMAGE)
        self._require_free(user, name)
        await self._conduct.in_window()
        self._require_quota(user)
        if self._store.user(user.id) is None:
            raise Refusal(409, f"User '{user.username}' was deleted meanwhile", Fault.LOST_RACE)
        if self._conduct.spends(name, image):
            self._store.spend_name(user.namespace, name)
            raise Refusal(500, f"Sandbox '{name}' was created by half", Fault.SPENT)
        now = self._clock.now()
        intent = Intent(fate_of(name, image), is_paused=False, since=now)
        sandbox_id = self._store.kept_id(user.namespace, name) or self._mint.uuid()
        try:
            self._store.add_sandbox(Sandbox(sandbox_id, user.id, name, image, now, intent))
        except AlreadyExists as exc:
            raise Refusal(409, str(exc), Fault.LOST_RACE) from exc
        return Reply(
            {
                "success": True,
                "message": f"Sandbox '{name}' created successfully",
                "sandbox": {"name": name, "namespace": user.namespace, "image": image},
            },
            201,
        )

    def _require_free(self, user: User, name: str) -> None:
        """Refuse a name that is taken, or can never be had."""
        if self._store.sandbox(user.id, name) is not None:
            raise Refusal(409, f"Sandbox '{name}' already exists")
        if self._store.is_spent(user.namespace, name):
            raise Refusal(409, f"Sandbox '{name}' exists by half", Fault.SPENT)
        if len(user.namespace) > NAMESPACE_LIMIT:
            message = f"Namespace '{user.namespace}' has more than {NAMESPACE_LIMIT} characters"
            raise Refusal(400, message, Fault.NAMESPACE)

    def _require_quota(self, user: User) -> None:
        """Refuse more sandboxes than a user may have."""
        taken = self._store.count_sandboxes(user.id) + self._store.count_spent(user.namespace)
        if taken >= QUOTA:
            message = f"Sandbox quota exceeded: a user may have {QUOTA} sandboxes"
            raise Refusal(403, f"{message}, paused ones counted", Fault.QUOTA)

    async def list(self, user: User, _asked: Arguments) -> Reply:
        """List the caller's sandboxes: without replicas and reasons, as the deployed proxy does."""
        now = self._clock.now()
        shown = [self._row(user, each, now) for each in self._store.sandboxes(user.id)]
        return Reply({"count": len(shown), "sandboxes": shown})

    async def get(self, user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Show a sandbox as the controller reports it now."""
        now = self._clock.now()
        phase = self._controller.phase(sandbox, now)
        if phase is Phase.VANISHED:
            raise vanished(sandbox.name)
        condition = self._controller.condition(sandbox, now, phase)
        shown = self._summary(user, sandbox, now, phase)
        shown["replicas"] = condition.replicas
        shown["ready"] = condition.ready
        if condition.reason is not None:
            shown["readyReason"] = condition.reason
            shown["readyMessage"] = condition.message
        shown["createdAt"] = iso(sandbox.created_at)
        return Reply(shown)

    async def delete(self, user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Remove a sandbox with its files and processes."""
        await self._in_window(sandbox)
        if not self._conduct.deletes_vanished:
            self._now_that_it_exists(sandbox)
        with self._store.all_or_nothing():
            self._store.delete_sandbox(sandbox.id)
            if self._conduct.keeps_files:
                self._store.keep_files(user.namespace, sandbox)
        if self._conduct.keeps_files:
            await self._runtime.stop(sandbox.id)
        else:
            await self._runtime.remove(sandbox.id)
        return Reply({"success": True, "message": f"Sandbox '{sandbox.name}' deleted successfully"})

    async def pause(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Kill a sandbox's processes, and keep of its files those in /sandbox."""
        await self._in_window(sandbox)
        now = self._now_that_it_exists(sandbox)
        self._store.update_sandbox(self._controller.paused(sandbox, now))
        await self._runtime.stop(sandbox.id)
        return _scaled(sandbox, "paused", 0)

    async def resume(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Let a paused sandbox become ready again."""
        await self._in_window(sandbox)
        now = self._now_that_it_exists(sandbox)
        self._store.update_sandbox(self._controller.resumed(sandbox, now))
        return _scaled(sandbox, "resumed", 1)

    async def _in_window(self, sandbox: Sandbox) -> None:
        """Let others come between, where the proxy does, and lose to them."""
        self._changing.add(sandbox.id)
        try:
            await self._conduct.in_window()
        finally:
            self._changing.discard(sandbox.id)
        current = self._store.sandbox(sandbox.user_id, sandbox.name)
        if current == sandbox:
            return
        fault = next(self._gone) if current is None else Fault.LOST_RACE
        raise Refusal(409, f"Sandbox '{sandbox.name}' was changed meanwhile", fault)

    def _now_that_it_exists(self, sandbox: Sandbox) -> datetime:
        """Return the time, unless the sandbox's resource is gone by then."""
        now = self._clock.now()
        if self._controller.has_vanished(sandbox, now):
            raise vanished(sandbox.name)
        return now

    def _row(self, user: User, sandbox: Sandbox, now: datetime) -> dict[str, Any]:
        phase = self._controller.phase(sandbox, now)
        row = self._summary(user, sandbox, now, phase)
        is_there = phase is not Phase.VANISHED
        row["ready"] = is_there and self._controller.condition(sandbox, now, phase).ready
        row["createdAt"] = iso(sandbox.created_at)
        return row

    def _summary(self, user: User, sandbox: Sandbox, now: datetime, phase: Phase) -> dict[str, Any]:
        namespace = user.namespace
        if phase is Phase.VANISHED:
            service = address = "error"
        elif self._controller.has_service(sandbox, now):
            service, address = sandbox.name, f"{sandbox.name}.{namespace}.svc.cluster.local"
        else:
            service = address = "pending"
        return {
            "name": sandbox.name,
            "namespace": namespace,
            "serviceFQDN": address,
            "service": service,
        }


def _scaled(sandbox: Sandbox, done: str, replicas: int) -> Reply:
    message = f"Sandbox '{sandbox.name}' {done} successfully"
    return Reply({"success": True, "message": message, "replicas": replicas})
