"""The messages of the proxy, and patterns that compare equal to the fields of its replies."""

import re

from dirty_equals import AnyThing, IsInt, IsStr, IsUUID

from sandbox_contract.harness.clock import FORM

# For every caller, in the order in which a key is checked.
NO_HEADER = "Missing Authorization header"
BAD_HEADER = "Invalid Authorization header format. Expected: Bearer <api-key>"
UNKNOWN_KEY = "Invalid API key"
REVOKED = "API key is inactive"
DEACTIVATED = "User account is inactive"
EXPIRED = "API key has expired"
NOT_ADMIN = "Invalid admin API key"

# For every request.
NO_ACCESS = "You do not have access to this sandbox"
DELETED = "Sandbox not found"  # 404, and only while a request to delete it is under way
NO_USER = "User not found"
NO_KEY = "API key not found"
NOT_THE_OWNER = "You do not own this API key"
NAME_REQUIRED = "name is required"
USERNAME_REQUIRED = "username is required"
NO_SERVICE = "Sandbox service not ready"
NOT_READY = "Sandbox not ready"


TIMESTAMP = IsStr(regex=FORM.pattern)
TEXT = IsStr(min_length=1)
ANY = AnyThing()
ID = IsUUID()
COUNT = IsInt(ge=0)
PREFIX_SHOWN = 12  # characters of a key that the proxy shows
KEY_FORM = re.compile(r"sk_live_[A-Za-z0-9_-]{32}")
