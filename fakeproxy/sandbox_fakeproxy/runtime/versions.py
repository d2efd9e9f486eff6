"""The versions of the runtime's API that the fake can have, and the paths of each."""

RUNTIME_APIS = ("1.0", "1.9")
LATEST_RUNTIME_API = "1.9"
# The first part of the paths that a version does not have.
_MISSING_PATHS = {"1.0": ("/v1/bash/",), "1.9": ()}


def find_runtime_api(name: str) -> str:
    """Return the version of this name.

    Raises:
        ValueError: there is no such version.
    """
    if name not in RUNTIME_APIS:
        expected = ", ".join(RUNTIME_APIS)
        raise ValueError(f"runtime_api has value {name!r}. Expected one of: {expected}")
    return name


def has_path(runtime_api: str, path: str) -> bool:
    """Return whether a version of the runtime's API may have a path."""
    return not f"{path}/".startswith(_MISSING_PATHS[runtime_api])
