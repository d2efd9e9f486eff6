"""The routes for users and API keys: the administrator's, and each user's own."""

from dataclasses import replace
from typing import Any

from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.http import Arguments, Reply
from sandbox_fakeproxy.model import ApiKey, User
from sandbox_fakeproxy.service import Service

from .validation import Validation, uuid


class Users:
    """Handlers for users and API keys."""

    def __init__(self, service: Service, validation: Validation) -> None:
        self._service = service
        self._validation = validation

    # Users --------------------------------------------------------------------------------------

    async def create_user(self, arguments: Arguments) -> Reply:
        """Create a user."""
        username = self._validation.username(arguments.body)
        email = self._validation.email(arguments.body)
        user = self._service.create_user(username, email)
        return Reply({"success": True, "user": describe_user(user)}, 201)

    async def list_users(self, arguments: Arguments) -> Reply:
        """List users."""
        users = self._service.users(active_only=arguments.query.get("active_only") == "true")
        return Reply({"count": len(users), "users": [describe_user(user) for user in users]})

    async def get_user(self, arguments: Arguments) -> Reply:
        """Describe a user."""
        user = self._find_user(arguments)
        return Reply({"user": describe_user(user) | {"updated_at": iso(user.updated_at)}})

    async def update_user(self, arguments: Arguments) -> Reply:
        """Change a user's e-mail address, or activate or deactivate the user."""
        current = changed = self._find_user(arguments)
        if "email" in arguments.body:
            changed = replace(changed, email=self._validation.email(arguments.body))
        if "is_active" in arguments.body:
            changed = replace(changed, is_active=self._validation.is_active(arguments.body))
        user = self._service.update_user(current, changed)
        described = describe_user(user) | {"updated_at": iso(user.updated_at)}
        del described["created_at"]
        return Reply({"success": True, "user": described})

    async def delete_user(self, arguments: Arguments) -> Reply:
        """Delete a user with all keys and sandboxes."""
        user = self._find_user(arguments)
        await self._service.delete_user(user)
        return Reply({"success": True, "message": f"User '{user.username}' deleted successfully"})

    async def show_caller(self, user: User, _arguments: Arguments) -> Reply:
        """Describe the user of the request's key."""
        return Reply({"user": {"id": user.id, "username": user.username, "email": user.email}})

    # Keys of any user ---------------------------------------------------------------------------

    async def create_key(self, arguments: Arguments) -> Reply:
        """Create a key for any user."""
        return self._create_key(self._find_user(arguments), arguments)

    async def list_keys(self, arguments: Arguments) -> Reply:
        """List the keys of any user."""
        return self._list_keys(self._find_user(arguments))

    async def revoke_key(self, arguments: Arguments) -> Reply:
        """Revoke a key of any user."""
        self._service.revoke_key(_key_id(arguments))
        return _revoked_reply()

    # The caller's own keys ----------------------------------------------------------------------

    async def create_own_key(self, user: User, arguments: Arguments) -> Reply:
        """Create a key for the caller."""
        return self._create_key(user, arguments)

    async def list_own_keys(self, user: User, _arguments: Arguments) -> Reply:
        """List the caller's keys."""
        return self._list_keys(user)

    async def revoke_own_key(self, user: User, arguments: Arguments) -> Reply:
        """Revoke a key of the caller, which may be the one in use."""
        self._service.revoke_key(_key_id(arguments), owner=user)
        return _revoked_reply()

    def _find_user(self, arguments: Arguments) -> User:
        return self._service.user(uuid(arguments.params["user_id"], "user id"))

    def _create_key(self, user: User, arguments: Arguments) -> Reply:
        name = self._validation.key_name(arguments.body)
        expires_at = self._validation.expires_at(arguments.body)
        secret, key = self._service.create_key(user, name, expires_at)
        return Reply(
            {
                "success": True,
                "message": "API key created successfully. Keep it: it is not shown again.",
                "api_key": secret,
                "key_info": _key_info(key),
            },
            201,
        )

    def _list_keys(self, user: User) -> Reply:
        keys = [describe_key(key) for key in self._service.keys(user)]
        return Reply({"count": len(keys), "api_keys": keys})


def describe_user(user: User) -> dict[str, Any]:
    """Return the JSON fields of a user."""
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "created_at": iso(user.created_at),
        "is_active": user.is_active,
    }


def describe_key(key: ApiKey) -> dict[str, Any]:
    """Return the JSON fields of a key, without its secret."""
    return _key_info(key) | {
        "last_used_at": iso(key.last_used_at) if key.last_used_at else None,
        "is_active": key.is_active,
    }


def _key_info(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "key_prefix": key.key_prefix,
        "name": key.name,
        "created_at": iso(key.created_at),
        "expires_at": key.expires_at.iso() if key.expires_at else None,
    }


def _key_id(arguments: Arguments) -> str:
    return uuid(arguments.params["key_id"], "key id")


def _revoked_reply() -> Reply:
    return Reply({"success": True, "message": "API key revoked successfully"})
