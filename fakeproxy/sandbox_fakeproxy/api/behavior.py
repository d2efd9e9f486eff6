"""The behavior of the proxy as data: which deviations of the deployed proxy are on.

`DEFAULT` has none of them; `deployed.behavior` has the table of all. The code that differs is in
`deployed`, and `app.create_app` chooses it by these fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import Reply
from sandbox_fakeproxy.service import DEFAULT_RULES, Rules

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
class Behavior:
    """How the proxy behaves where there is a choice. The defaults are the contract's."""

    # The answers to errors that differ, and the names of statuses in them.
    answers: Mapping[Quirk, Answer] = field(default_factory=dict[Quirk, Answer])
    phrases: Mapping[int, str] = field(default_factory=lambda: _PHRASES)
    # The rules of the service that differ.
    rules: Rules = DEFAULT_RULES
    # Whether fields of other types and forms are taken (`DeployedValidation`).
    coerces_fields: bool = False
    # The e-mail address of the user `admin`.
    admin_email: str | None = None
    # Whether paths match in any case, bodies are parsed first, and OPTIONS is answered.
    has_loose_routes: bool = False
    # Whether JSON has ETags.
    sends_etags: bool = False
    # Whether requests below /proxy/ and their answers are rewritten (`DeployedForwarding`).
    rewrites_forwarded: bool = False
    # Seconds until a request below /proxy/ is answered without its sandbox.
    time_limit: float = 300.0
    # Whether GET /health asks the database.
    checks_database: bool = True

    def reply(self, error: APIError) -> Reply:
        """Return the answer to a refused request."""
        answer = self.answers.get(error.quirk) if error.quirk else None
        if answer is not None and answer.body is not None:
            return Reply(answer.body, answer.status)
        status = answer.status if answer else error.status
        body = {
            "error": self.phrases.get(status) or HTTPStatus(status).phrase,
            "message": (answer and answer.message) or error.message,
        }
        return Reply(body | dict(answer.more if answer else {}), status)


DEFAULT = Behavior()
