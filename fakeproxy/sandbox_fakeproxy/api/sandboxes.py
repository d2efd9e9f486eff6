"""The sandbox routes: make, list, show, pause, resume, delete."""

from typing import Any

from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.http import Arguments, Reply
from sandbox_fakeproxy.model import Sandbox, User
from sandbox_fakeproxy.service import DEFAULT_IMAGE, Service, Status

from .validation import Validation


class Sandboxes:
    """A user's operations on sandboxes."""

    def __init__(self, service: Service, validation: Validation) -> None:
        self._service = service
        self._validation = validation

    async def create(self, user: User, asked: Arguments) -> Reply:
        """Make a sandbox."""
        name = self._validation.sandbox_name(asked.body)
        image = self._validation.image(asked.body, DEFAULT_IMAGE)
        sandbox = await self._service.create_sandbox(user, name, image)
        return Reply(
            {
                "success": True,
                "message": f"Sandbox '{name}' created successfully",
                "sandbox": {"name": name, "namespace": user.namespace, "image": sandbox.image},
            },
            201,
        )

    async def list(self, user: User, _asked: Arguments) -> Reply:
        """List the caller's sandboxes: without replicas and reasons, as the deployed proxy does."""
        shown = [
            _summary(user, each)
            | {
                "ready": each.condition is not None and each.condition.ready,
                "createdAt": iso(each.sandbox.created_at),
            }
            for each in self._service.sandboxes(user)
        ]
        return Reply({"count": len(shown), "sandboxes": shown})

    async def get(self, user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Show a sandbox as the controller reports it now."""
        status = self._service.status(sandbox)
        shown = _summary(user, status)
        if (condition := status.condition) is not None:
            shown |= {"replicas": condition.replicas, "ready": condition.ready}
            if condition.reason is not None:
                shown |= {"readyReason": condition.reason, "readyMessage": condition.message}
        shown["createdAt"] = iso(sandbox.created_at)
        return Reply(shown)

    async def delete(self, user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Remove a sandbox with its files and processes."""
        await self._service.delete_sandbox(user, sandbox)
        return Reply({"success": True, "message": f"Sandbox '{sandbox.name}' deleted successfully"})

    async def pause(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Stop a sandbox, and keep of its files those in /sandbox."""
        await self._service.pause_sandbox(sandbox)
        return _scaled(sandbox, "paused", 0)

    async def resume(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        """Let a paused sandbox become ready again."""
        await self._service.resume_sandbox(sandbox)
        return _scaled(sandbox, "resumed", 1)


def _summary(user: User, status: Status) -> dict[str, Any]:
    name, namespace = status.sandbox.name, user.namespace
    if status.condition is None:
        service = address = "error"
    elif status.has_service:
        service, address = name, f"{name}.{namespace}.svc.cluster.local"
    else:
        service = address = "pending"
    return {"name": name, "namespace": namespace, "serviceFQDN": address, "service": service}


def _scaled(sandbox: Sandbox, done: str, replicas: int) -> Reply:
    message = f"Sandbox '{sandbox.name}' {done} successfully"
    return Reply({"success": True, "message": message, "replicas": replicas})
