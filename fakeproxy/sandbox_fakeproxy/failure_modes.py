"""Fates that a test gives to a sandbox: by the name of its image, or at any time."""

from enum import StrEnum


class Fate(StrEnum):
    """The fate of a sandbox.

    NEVER_READY starts for ever. FAILED, EXPIRED and CONTROLLER_ERROR are shown by
    the status. VANISHED is a resource that is gone while the proxy still knows the sandbox.
    """

    RUNNING = "running"
    NEVER_READY = "never-ready"
    FAILED = "failed"
    EXPIRED = "expired"
    CONTROLLER_ERROR = "controller-error"
    VANISHED = "vanished"


FATES = tuple(fate.value for fate in Fate)


def find_fate(value: object) -> Fate:
    """Return the fate that a tester names.

    Raises:
        ValueError: there is none of that name.
    """
    if isinstance(value, str) and value in FATES:
        return Fate(value)
    raise ValueError(f"fate must be one of: {', '.join(FATES)}")


def fate_of_image(image: str) -> Fate:
    """Return the fate that an image's name ends in, such as `fake/expired` or `fake/failed:1`."""
    path, slash, name = image.partition("@")[0].rpartition("/")
    name = name.partition(":")[0]
    return Fate(name) if path and slash and name in FATES else Fate.RUNNING


def fate_of(name: str, image: str) -> Fate:
    """Return the fate of a new sandbox.

    A Kubernetes service must not start with a digit; only as deployed may a sandbox have such a
    name.
    """
    return Fate.CONTROLLER_ERROR if name[0].isdigit() else fate_of_image(image)
