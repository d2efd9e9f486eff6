"""With which words the proxy refuses."""

# Whoever asks: in the order in which a key is looked at.
NO_HEADER = "Missing Authorization header"
BAD_HEADER = "Invalid Authorization header format. Expected: Bearer <api-key>"
UNKNOWN_KEY = "Invalid API key"
REVOKED = "API key is inactive"
DEACTIVATED = "User account is inactive"
EXPIRED = "API key has expired"
NOT_ADMIN = "Invalid admin API key"

# Whatever is asked for.
NO_ACCESS = "You do not have access to this sandbox"
DELETED = "Sandbox not found"  # 404, and only while a request to delete it is under way
NO_USER = "User not found"
NO_KEY = "API key not found"
NOT_THE_OWNER = "You do not own this API key"
NAME_REQUIRED = "name is required"
USERNAME_REQUIRED = "username is required"
NO_SERVICE = "Sandbox service not ready"
NOT_READY = "Sandbox not ready"
