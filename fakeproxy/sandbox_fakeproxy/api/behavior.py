"""`Behavior`: which deviations of the deployed proxy are on, as data.

`DEFAULT` has none of them; the table of all is in `deployed.behavior`. `app.create_app` uses these
fields to choose between the default classes and those in `deployed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import Reply
from sandbox_fakeproxy.runtime.versions import LATEST_RUNTIME_API
from sandbox_fakeproxy.service import DEFAULT_RULES, Rules

# The phrase of Node.js; it differs between versions of Python.
_PHRASES = {413: "Payload Too Large"}


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """The response to a refused request: its status, and its message unless it is the error's own.

    `extra` adds fields to the body; `body` replaces the whole body.
    """

    status: int
    message: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Behavior:
    """The proxy's behavior where the deployed proxy deviates; the defaults follow the contract."""

    # The error responses that differ, and reason phrases for their `error` field.
    error_responses: Mapping[Quirk, ErrorResponse] = field(
        default_factory=dict[Quirk, ErrorResponse]
    )
    phrases: Mapping[int, str] = field(default_factory=lambda: _PHRASES)
    # The rules of the service.
    rules: Rules = DEFAULT_RULES
    # Whether fields of other types and formats are accepted (`DeployedValidation`).
    coerces_fields: bool = False
    # The e-mail address of the user `admin`.
    admin_email: str | None = None
    # Whether paths match case-insensitively, bodies are parsed before authentication, and OPTIONS
    # is answered (`LooseRoute`, `OptionsRoute`).
    has_loose_routes: bool = False
    # Whether JSON responses carry ETags (`ETags`).
    sends_etags: bool = False
    # Whether requests below /proxy/ and their responses are rewritten (`DeployedForwarding`).
    rewrites_forwarded: bool = False
    # The version of the runtime's API, unless the fake is told another one.
    runtime_api: str = LATEST_RUNTIME_API
    # Seconds until a request below /proxy/ gets an error instead of the sandbox's response.
    time_limit: float = 300.0
    # Whether GET /health queries the database.
    checks_database: bool = True

    def reply(self, error: APIError) -> Reply:
        """Return the response to a request that raised `error`."""
        response = self.error_responses.get(error.quirk) if error.quirk else None
        if response is not None and response.body is not None:
            return Reply(response.body, response.status)
        status = response.status if response else error.status
        body = {
            "error": self.phrases.get(status) or HTTPStatus(status).phrase,
            "message": (response and response.message) or error.message,
        }
        return Reply(body | dict(response.extra if response else {}), status)


DEFAULT = Behavior()
