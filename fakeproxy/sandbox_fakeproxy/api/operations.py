"""The operations of the API, and path patterns that match their requests.

In a pattern, `{path}` matches all remaining segments; any other `{name}` matches one segment.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

# By `operationId` in contract/openapi.yaml; a test compares the two.
OPERATIONS: Mapping[str, tuple[str, str]] = {
    "getHealth": ("GET", "/health"),
    "getMe": ("GET", "/api/me"),
    "listMyKeys": ("GET", "/api/me/apikeys"),
    "createMyKey": ("POST", "/api/me/apikeys"),
    "revokeMyKey": ("DELETE", "/api/me/apikeys/{key_id}"),
    "listSandboxes": ("GET", "/api/sandboxes"),
    "createSandbox": ("POST", "/api/sandboxes"),
    "getSandbox": ("GET", "/api/sandboxes/{name}"),
    "deleteSandbox": ("DELETE", "/api/sandboxes/{name}"),
    "pauseSandbox": ("POST", "/api/sandboxes/{name}/pause"),
    "resumeSandbox": ("POST", "/api/sandboxes/{name}/resume"),
    "listUsers": ("GET", "/api/admin/users"),
    "createUser": ("POST", "/api/admin/users"),
    "getUser": ("GET", "/api/admin/users/{user_id}"),
    "updateUser": ("PUT", "/api/admin/users/{user_id}"),
    "deleteUser": ("DELETE", "/api/admin/users/{user_id}"),
    "listUserKeys": ("GET", "/api/admin/users/{user_id}/apikeys"),
    "createUserKey": ("POST", "/api/admin/users/{user_id}/apikeys"),
    "revokeKey": ("DELETE", "/api/admin/apikeys/{key_id}"),
    "executeCommand": ("POST", "/proxy/{name}/v1/shell/exec"),
    "viewSession": ("POST", "/proxy/{name}/v1/shell/view"),
    "waitForCommand": ("POST", "/proxy/{name}/v1/shell/wait"),
    "writeToCommand": ("POST", "/proxy/{name}/v1/shell/write"),
    "killCommand": ("POST", "/proxy/{name}/v1/shell/kill"),
    "listSessions": ("GET", "/proxy/{name}/v1/shell/sessions"),
    "createSession": ("POST", "/proxy/{name}/v1/shell/sessions/create"),
    "deleteSession": ("DELETE", "/proxy/{name}/v1/shell/sessions/{id}"),
    "executePiped": ("POST", "/proxy/{name}/v1/bash/exec"),
    "readPipedOutput": ("POST", "/proxy/{name}/v1/bash/output"),
    "writePiped": ("POST", "/proxy/{name}/v1/bash/write"),
    "killPiped": ("POST", "/proxy/{name}/v1/bash/kill"),
    "listPipeSessions": ("GET", "/proxy/{name}/v1/bash/sessions"),
    "createPipeSession": ("POST", "/proxy/{name}/v1/bash/sessions/create"),
    "closePipeSession": ("POST", "/proxy/{name}/v1/bash/sessions/{id}/close"),
    "readFile": ("POST", "/proxy/{name}/v1/file/read"),
    "writeFile": ("POST", "/proxy/{name}/v1/file/write"),
    "listDirectory": ("POST", "/proxy/{name}/v1/file/list"),
    "replaceInFile": ("POST", "/proxy/{name}/v1/file/replace"),
    "searchFile": ("POST", "/proxy/{name}/v1/file/search"),
    "findFiles": ("POST", "/proxy/{name}/v1/file/find"),
    "uploadFile": ("POST", "/proxy/{name}/v1/file/upload"),
    "downloadFile": ("GET", "/proxy/{name}/v1/file/download"),
    "describeSandbox": ("GET", "/proxy/{name}/v1/sandbox"),
}
ANY_RUNTIME_PATH = "/proxy/{name}/{path}"  # with any method
_NAME_SEGMENT = "(?:[^/]+)"
PATTERNS = frozenset({pattern for _, pattern in OPERATIONS.values()} | {ANY_RUNTIME_PATH})


@lru_cache(maxsize=256)  # bounded, because clients may send their own patterns
def compile_pattern(pattern: str, *, ignores_case: bool = False) -> re.Pattern[str]:
    """Return a regular expression that fully matches the paths of a pattern.

    With `ignores_case`, literal parts match case-insensitively, as in the deployed proxy. The first
    `{name}` is the group `name`, which keeps its percent-encoding.
    """
    parts = [_compile_part(part) for part in re.split(r"({\w+})", pattern)]
    expression = "".join(parts).replace(_NAME_SEGMENT, "(?P<name>[^/]+)", 1)
    return re.compile(expression, re.IGNORECASE if ignores_case else 0)


def find_pattern(path: str, *, ignores_case: bool = False) -> str | None:
    """Return the API's pattern that equals or best matches a path; None if none does."""
    if path in PATTERNS:
        return path
    if "{" in path:
        return None
    matches = [
        candidate
        for candidate in sorted(PATTERNS)
        if compile_pattern(candidate, ignores_case=ignores_case).fullmatch(path)
    ]
    return max(matches, key=_literal_segments, default=None)


def methods_of(pattern: str) -> frozenset[str] | None:
    """Return the methods of a pattern; None means any method."""
    if pattern == ANY_RUNTIME_PATH:
        return None
    return frozenset(method for method, path in OPERATIONS.values() if path == pattern)


def _compile_part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return {"{path}": ".*", "{name}": _NAME_SEGMENT}.get(part, "[^/]+")


def _literal_segments(pattern: str) -> int:
    return sum(not segment.startswith("{") for segment in pattern.split("/"))
