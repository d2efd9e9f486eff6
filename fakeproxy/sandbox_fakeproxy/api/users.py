"""The routes of users and keys: the administrator's, and a user's own."""

from dataclasses import replace
from typing import Any

from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.http import Arguments, Reply
from sandbox_fakeproxy.model import ApiKey, User
from sandbox_fakeproxy.service import Service

from .validation import Validation, uuid


class Users:
    """Users and keys: the administrator's routes, and each user's own."""

    def __init__(self, service: Service, validation: Validation) -> None:
        self._service = service
        self._validation = validation

    # Users --------------------------------------------------------------------------------------

    async def create_user(self, asked: Arguments) -> Reply:
        """Add a user."""
        username, email = self._validation.username(asked.body), self._validation.email(asked.body)
        user = self._service.create_user(username, email)
        return Reply({"success": True, "user": describe_user(user)}, 201)

    async def list_users(self, asked: Arguments) -> Reply:
        """List users."""
        found = self._service.users(active_only=asked.query.get("active_only") == "true")
        return Reply({"count": len(found), "users": [describe_user(user) for user in found]})

    async def get_user(self, asked: Arguments) -> Reply:
        """Show a user."""
        user = self._user(asked)
        return Reply({"user": describe_user(user) | {"updated_at": iso(user.updated_at)}})

    async def update_user(self, asked: Arguments) -> Reply:
        """Change a user's e-mail, or let the user in or not."""
        before = after = self._user(asked)
        if "email" in asked.body:
            after = replace(after, email=self._validation.email(asked.body))
        if "is_active" in asked.body:
            after = replace(after, is_active=self._validation.is_active(asked.body))
        user = self._service.update_user(before, after)
        shown = describe_user(user) | {"updated_at": iso(user.updated_at)}
        del shown["created_at"]
        return Reply({"success": True, "user": shown})

    async def delete_user(self, asked: Arguments) -> Reply:
        """Remove a user with all keys and sandboxes."""
        user = self._user(asked)
        await self._service.delete_user(user)
        return Reply({"success": True, "message": f"User '{user.username}' deleted successfully"})

    async def show_caller(self, user: User, _asked: Arguments) -> Reply:
        """Show the user of the request's key."""
        return Reply({"user": {"id": user.id, "username": user.username, "email": user.email}})

    # Keys of any user ---------------------------------------------------------------------------

    async def create_key(self, asked: Arguments) -> Reply:
        """Make a key for a user."""
        return self._new_key(self._user(asked), asked)

    async def list_keys(self, asked: Arguments) -> Reply:
        """List a user's keys."""
        return self._keys(self._user(asked))

    async def revoke_key(self, asked: Arguments) -> Reply:
        """Revoke a key of any user."""
        self._service.revoke_key(_key_id(asked))
        return _revoked()

    # One's own keys -----------------------------------------------------------------------------

    async def create_own_key(self, user: User, asked: Arguments) -> Reply:
        """Make another key."""
        return self._new_key(user, asked)

    async def list_own_keys(self, user: User, _asked: Arguments) -> Reply:
        """List the caller's keys."""
        return self._keys(user)

    async def revoke_own_key(self, user: User, asked: Arguments) -> Reply:
        """Revoke a key of the caller's, the one in use too."""
        self._service.revoke_key(_key_id(asked), owner=user)
        return _revoked()

    def _user(self, asked: Arguments) -> User:
        return self._service.user(uuid(asked.params["user_id"], "user id"))

    def _new_key(self, user: User, asked: Arguments) -> Reply:
        name = self._validation.key_name(asked.body)
        expires_at = self._validation.expires_at(asked.body)
        secret, key = self._service.create_key(user, name, expires_at)
        return Reply(
            {
                "success": True,
                "message": "API key created successfully. Keep it: it is not shown again.",
                "api_key": secret,
                "key_info": _info(key),
            },
            201,
        )

    def _keys(self, user: User) -> Reply:
        keys = [describe_key(key) for key in self._service.keys(user)]
        return Reply({"count": len(keys), "api_keys": keys})


def describe_user(user: User) -> dict[str, Any]:
    """Describe a user."""
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "created_at": iso(user.created_at),
        "is_active": user.is_active,
    }


def describe_key(key: ApiKey) -> dict[str, Any]:
    """Describe a key by all but its secret."""
    return _info(key) | {
        "last_used_at": iso(key.last_used_at) if key.last_used_at else None,
        "is_active": key.is_active,
    }


def _info(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "key_prefix": key.key_prefix,
        "name": key.name,
        "created_at": iso(key.created_at),
        "expires_at": key.expires_at.iso() if key.expires_at else None,
    }


def _key_id(asked: Arguments) -> str:
    return uuid(asked.params["key_id"], "key id")


def _revoked() -> Reply:
    return Reply({"success": True, "message": "API key revoked successfully"})
