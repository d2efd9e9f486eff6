"""The sandbox routes: make, list, show, pause, resume, delete."""

from datetime import datetime
from typing import Any

from . import _fields as fields
from ._clock import Clock, iso
from ._controller import Controller
from ._errors import AlreadyExists, Refusal, vanished
from ._fates import fate_of_image
from ._http import Arguments, Reply
from ._mint import Mint
from ._records import Intent, Sandbox, User
from ._runtime import Runtime
from ._store import Store

QUOTA = 10
DEFAULT_IMAGE = "ghcr.io/agent-infra/sandbox:latest"


class Sandboxes:
    """What a user may do with sandboxes."""

    def __init__(
        self, store: Store, clock: Clock, mint: Mint, controller: Controller, runtime: Runtime
    ) -> None:
        self._store = store
        self._clock = clock
        self._mint = mint
        self._controller = controller
        self._runtime = runtime

    async def create(self, user: User, asked: Arguments) -> Reply:
        """Make a sandbox; it becomes ready as time passes."""
        name = fields.sandbox_name(asked.body)
        image = fields.image(asked.body, DEFAULT_IMAGE)
        duplicate = self._store.sandbox(user.id, name) is not None
        if not duplicate and self._store.count_sandboxes(user.id) >= QUOTA:
            raise Refusal(
                403,
                f"Sandbox quota exceeded: a user may have {QUOTA} sandboxes, paused ones counted",
            )
        now = self._clock.now()
        intent = Intent(fate_of_image(image), is_paused=False, since=now)
        try:
            self._store.add_sandbox(Sandbox(self._mint.uuid(), user.id, name, image, now, intent))
        except AlreadyExists as exc:
            raise Refusal(409, str(exc)) from exc
        return Reply(
            {
                "success": True,
                "message": f"Sandbox '{name}' created successfully",
                "sandbox": {"name": name, "namespace": user.namespace, "image": image},
            },
            201,
        )

    async def list(self, user: User, _asked: Arguments) -> Reply:
        """List the caller's sandboxes: without replicas and reasons, as the deployed proxy does."""
        now = self._clock.now()
        shown = [
            self._summary(user, sandbox, now)
            | {"ready": self._is_ready(sandbox, now), "createdAt": iso(sandbox.created_at)}
            for sandbox in self._store.sandboxes(user.id)
        ]
        return Reply({"count": len(shown), "sandboxes": shown})

    async def get(self, user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Show a sandbox as the controller reports it now."""
        now = self._now_that_it_exists(sandbox)
        condition = self._controller.condition(sandbox, now)
        shown = self._summary(user, sandbox, now)
        shown |= {"replicas": condition.replicas, "ready": condition.ready}
        if condition.reason is not None:
            shown |= {"readyReason": condition.reason, "readyMessage": condition.message}
        return Reply(shown | {"createdAt": iso(sandbox.created_at)})

    async def delete(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Remove a sandbox with its files and what runs in it."""
        self._store.delete_sandbox(sandbox.id)
        await self._runtime.remove(sandbox.id)
        return Reply({"success": True, "message": f"Sandbox '{sandbox.name}' deleted successfully"})

    async def pause(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Kill what runs in a sandbox and keep its files."""
        now = self._now_that_it_exists(sandbox)
        self._store.update_sandbox(self._controller.paused(sandbox, now))
        await self._runtime.stop(sandbox.id)
        return _scaled(sandbox, "paused", 0)

    async def resume(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Let a paused sandbox become ready again."""
        now = self._now_that_it_exists(sandbox)
        self._store.update_sandbox(self._controller.resumed(sandbox, now))
        return _scaled(sandbox, "resumed", 1)

    def _now_that_it_exists(self, sandbox: Sandbox) -> datetime:
        """Return the time, unless the sandbox's resource is gone by then."""
        now = self._clock.now()
        if self._controller.has_vanished(sandbox, now):
            raise vanished(sandbox.name)
        return now

    def _is_ready(self, sandbox: Sandbox, now: datetime) -> bool:
        return (
            not self._controller.has_vanished(sandbox, now)
            and self._controller.condition(sandbox, now).ready
        )

    def _summary(self, user: User, sandbox: Sandbox, now: datetime) -> dict[str, Any]:
        service, address = sandbox.name, f"{sandbox.name}.{user.namespace}.svc.cluster.local"
        if self._controller.has_vanished(sandbox, now):
            service = address = "error"
        elif not self._controller.has_service(sandbox, now):
            service = address = "pending"
        return {
            "name": sandbox.name,
            "namespace": user.namespace,
            "serviceFQDN": address,
            "service": service,
        }


def _scaled(sandbox: Sandbox, done: str, replicas: int) -> Reply:
    message = f"Sandbox '{sandbox.name}' {done} successfully"
    return Reply({"success": True, "message": message, "replicas": replicas})
