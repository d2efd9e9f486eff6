"""The version that a target tells of itself; the wire contract promises none."""

from sandbox_contract._wire.expect import Reply, Violation

_LENGTH = 80  # characters


def target_version(health: Reply) -> str | None:
    """Return the field `version` of an answer to `GET /health`, fit to be shown, or None.

    A header `Server` names the web server or what stands before it, and not the proxy's version.
    """
    return _shown(_field(health), health) or None


def _field(health: Reply) -> object:
    try:
        return health.fields().get("version")
    except Violation:
        return None


def _shown(told: object, health: Reply) -> str:
    """Return text of the target on one line: keys masked, unprintable characters replaced, cut."""
    if not isinstance(told, str):
        return ""
    line = health.exchange.redactor.text(" ".join(told.split()))
    shown = "".join(each if each.isprintable() else "?" for each in line)
    return shown if len(shown) <= _LENGTH else f"{shown[:_LENGTH]}…"
