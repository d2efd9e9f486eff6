"""Find the user of an `Authorization` header."""

import hashlib
import hmac
import re
from datetime import datetime

from sandbox_fakeproxy._clock import Instant
from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._state.records import User
from sandbox_fakeproxy._state.store import Store

# The scheme is case-sensitive, and exactly one space follows it.
CREDENTIALS = re.compile(r"Bearer ([^ ]+)")
ADMIN_CALLER = "admin"  # under which requests with the admin key are logged
_BLANKS = " \t"  # which HTTP allows around the value of any header field


def digest(secret: str) -> bytes:
    """Return the hash under which a secret is kept."""
    # A header is decoded as latin-1, which has a character for each byte; keys are ASCII.
    return hashlib.sha256(secret.encode("latin-1")).digest()


class UnusableAdminKey(ValueError):
    """The admin key is one that no request could carry."""


class Authenticator:
    """Find the user of the key in an `Authorization` header, or check the admin key.

    Group 1 of `credentials` is the key in a header without surrounding blanks.

    Raises:
        UnusableAdminKey: no header can carry the admin key.
    """

    def __init__(
        self, store: Store, admin_key: str, credentials: re.Pattern[str] = CREDENTIALS
    ) -> None:
        if re.fullmatch(r"[!-~]+", admin_key) is None:
            raise UnusableAdminKey(
                "The admin key must be printable ASCII without spaces, and not empty."
                " Set ADMIN_API_KEY to such a key, or unset it to have one made."
            )
        self._store = store
        self._credentials = credentials
        self._admin_digest = digest(admin_key)

    def user(self, authorization: str | None, now: datetime) -> User:
        """Return the user of a key, and note that the key was used.

        Raises:
            Refusal: 401, with the first of the contract's reasons that applies.
        """
        key_digest = digest(self._key_in(authorization))
        found = self._store.key_by_hash(key_digest)
        # The index found it by its hash already; the comparison that decides takes constant time.
        if found is None or not hmac.compare_digest(found[0], key_digest):
            raise Refusal(401, "Invalid API key")
        _, key, user = found
        if not key.is_active:
            raise Refusal(401, "API key is inactive")
        if not user.is_active:
            raise Refusal(401, "User account is inactive")
        if key.expires_at is not None and Instant.of(now) >= key.expires_at:
            raise Refusal(401, "API key has expired")
        self._store.note_use(key.id, now)
        return user

    def find_caller(self, authorization: str | None) -> str | None:
        """Return the name under which a request is logged, even if its key is not accepted.

        It is a user's name, `admin` for the admin key, and None for an unknown key.
        """
        try:
            key_digest = digest(self._key_in(authorization))
        except Refusal:
            return None
        if hmac.compare_digest(key_digest, self._admin_digest):
            return ADMIN_CALLER
        found = self._store.key_by_hash(key_digest)
        return found and found[2].username

    def require_admin(self, authorization: str | None) -> None:
        """Let only the admin key pass.

        Raises:
            Refusal: 401 for a faulty header, 403 for any other key.
        """
        if not hmac.compare_digest(digest(self._key_in(authorization)), self._admin_digest):
            raise Refusal(403, "Invalid admin API key")

    def _key_in(self, authorization: str | None) -> str:
        # A server strips these blanks; a client that calls the app in process does not.
        value = (authorization or "").strip(_BLANKS)
        if not value:
            raise Refusal(401, "Missing Authorization header")
        match = self._credentials.fullmatch(value)
        if match is None:
            raise Refusal(401, "Invalid Authorization header format. Expected: Bearer <api-key>")
        return match[1]
