"""The sandbox routes: create, list, get, pause, resume, delete."""

from typing import Any

from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.controller import Status
from sandbox_fakeproxy.http import Arguments, Reply
from sandbox_fakeproxy.model import Sandbox, User
from sandbox_fakeproxy.service import DEFAULT_IMAGE, Service

from .validation import Validation


class Sandboxes:
    """Handlers for a user's sandboxes."""

    def __init__(self, service: Service, validation: Validation) -> None:
        self._service = service
        self._validation = validation

    async def create(self, user: User, arguments: Arguments) -> Reply:
        """Create a sandbox."""
        name = self._validation.sandbox_name(arguments.body)
        image = self._validation.image(arguments.body, DEFAULT_IMAGE)
        sandbox = await self._service.create_sandbox(user, name, image)
        return Reply(
            {
                "success": True,
                "message": f"Sandbox '{name}' created successfully",
                "sandbox": {"name": name, "namespace": user.namespace, "image": sandbox.image},
            },
            201,
        )

    async def list(self, user: User, _arguments: Arguments) -> Reply:
        """List the user's sandboxes, like the deployed proxy without replicas and reasons."""
        described = [
            _summarize(user, status)
            | {
                "ready": status.condition is not None and status.condition.ready,
                "createdAt": iso(status.sandbox.created_at),
            }
            for status in self._service.sandboxes(user)
        ]
        return Reply({"count": len(described), "sandboxes": described})

    async def get(self, user: User, sandbox: Sandbox, _arguments: Arguments) -> Reply:
        """Describe a sandbox with its current status from the controller."""
        status = self._service.status(sandbox)
        described = _summarize(user, status)
        if (condition := status.condition) is not None:
            described |= {"replicas": condition.replicas, "ready": condition.ready}
            if condition.reason is not None:
                described |= {"readyReason": condition.reason, "readyMessage": condition.message}
        described["createdAt"] = iso(sandbox.created_at)
        return Reply(described)

    async def delete(self, user: User, sandbox: Sandbox, _arguments: Arguments) -> Reply:
        """Delete a sandbox with its files and processes."""
        await self._service.delete_sandbox(user, sandbox)
        return Reply({"success": True, "message": f"Sandbox '{sandbox.name}' deleted successfully"})

    async def pause(self, _user: User, sandbox: Sandbox, _arguments: Arguments) -> Reply:
        """Stop a sandbox, and keep only its files in /sandbox."""
        await self._service.pause_sandbox(sandbox)
        return _scaled_reply(sandbox, "paused", 0)

    async def resume(self, _user: User, sandbox: Sandbox, _arguments: Arguments) -> Reply:
        """Start a paused sandbox again."""
        await self._service.resume_sandbox(sandbox)
        return _scaled_reply(sandbox, "resumed", 1)


def _summarize(user: User, status: Status) -> dict[str, Any]:
    name, namespace = status.sandbox.name, user.namespace
    if status.condition is None:
        service = address = "error"
    elif status.has_service:
        service, address = name, f"{name}.{namespace}.svc.cluster.local"
    else:
        service = address = "pending"
    return {"name": name, "namespace": namespace, "serviceFQDN": address, "service": service}


def _scaled_reply(sandbox: Sandbox, verb: str, replicas: int) -> Reply:
    message = f"Sandbox '{sandbox.name}' {verb} successfully"
    return Reply({"success": True, "message": message, "replicas": replicas})
