"""The differences between the sane and the deployed proxy, as one value.

`Conduct()` is the sane proxy, the fake's default; `DEPLOYED` is the deployed one. Other modules
read its fields, and do not ask which of the two it is.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy.clock import Instant
from sandbox_fakeproxy.errors import Fault, Refusal
from sandbox_fakeproxy.http import JsonObject, Reply
from sandbox_fakeproxy.service import SANE_RULES, Rules
from sandbox_fakeproxy.store import Store

from . import delivery
from . import validation as fields

# As Node.js names it; versions of Python differ.
_PHRASES = {413: "Payload Too Large"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a fault: a status and, where it differs from the sane one, a message.

    `more` are fields beside these, and `body` replaces all of them.
    """

    status: int
    message: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Conduct:
    """How the proxy behaves where there is a choice. The defaults are the sane ones."""

    answers: Mapping[Fault, Answer] = field(default_factory=dict[Fault, Answer])
    phrases: Mapping[int, str] = field(default_factory=lambda: _PHRASES)

    rules: Rules = SANE_RULES

    # The fields of bodies.
    username: Callable[[JsonObject], str] = fields.username
    email: Callable[[JsonObject], str | None] = fields.email
    is_active: Callable[[JsonObject], bool | None] = fields.is_active
    key_name: Callable[[JsonObject], str | None] = fields.key_name
    expires_at: Callable[[JsonObject], Instant | None] = fields.expires_at
    sandbox_name: Callable[[JsonObject], str] = fields.sandbox_name
    image: Callable[[JsonObject, str], str] = fields.image

    # The e-mail address of the user `admin`.
    admin_email: str | None = None

    # Whether paths match in any case, bodies are parsed first, and OPTIONS is answered.
    has_loose_routes: bool = False
    # The middleware around all routes.
    middleware: Sequence[Middleware] = ()

    # Below /proxy/.
    read_forwarded: Callable[[Request], Awaitable[delivery.Outbound]] = delivery.read_forwarded
    inbound: Callable[[Response, delivery.Outbound, delivery.Ask], Awaitable[Response]] = (
        delivery.checked
    )
    time_limit: float = 300.0

    health: Callable[[Store], bool] = Store.answers

    def reply(self, refusal: Refusal) -> Reply:
        """Word a refusal."""
        answer = self.answers.get(refusal.fault) if refusal.fault else None
        if answer is not None and answer.body is not None:
            return Reply(answer.body, answer.status)
        status = answer.status if answer else refusal.status
        body = {
            "error": self.phrases.get(status) or HTTPStatus(status).phrase,
            "message": (answer and answer.message) or refusal.message,
        }
        return Reply(body | dict(answer.more if answer else {}), status)


SANE = Conduct()
