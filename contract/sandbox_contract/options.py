"""Which proxy is judged, with which keys: the same options for the command and for pytest.

pytest loads this module in every project where the distribution is installed, so it imports no
more than it needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .target import Target, Time

DEFAULT_READY_TIMEOUT = 180.0
YES_HELP = "leave in a deployed proxy's cluster what no request removes, without a question"
FAILURE_MODES = ("failed", "expired", "controller-error")


class Unusable(ValueError):
    """An option has an invalid value; the message names it and the expected values."""


@dataclass(frozen=True, slots=True)
class Option:
    """A flag, and the variable that stands in for it."""

    flag: str
    help: str
    variable: str
    metavar: str
    is_secret: bool = False

    @property
    def name(self) -> str:
        """Return how the parsed value is called."""
        return self.flag.removeprefix("--").replace("-", "_")


_TEXTS = (
    Option("--proxy-url", "the proxy to judge", "PROXY_URL", "URL"),
    Option(
        "--admin-key",
        "the admin key: users are made for the run, and deleted",
        "ADMIN_API_KEY",
        "KEY",
        is_secret=True,
    ),
    Option("--api-key", "without an admin key: a user's key", "API_KEY", "KEY", is_secret=True),
    Option(
        "--second-api-key",
        "without an admin key: another user's key",
        "SECOND_API_KEY",
        "KEY",
        is_secret=True,
    ),
)
SETTINGS = ("ready-timeout", "long", "failure-image", "fake-clock")
_REFERENCE = re.compile(r"\$\{[^{}]*\}")  # a variable that nothing has expanded
SECRETS = {option.flag: option.variable for option in _TEXTS if option.is_secret}


def add_address_options(add: Callable[..., object], *, prefix: str = "--") -> None:
    """Add the options for the address and the keys by `add`, which is argparse's or pytest's.

    With another `prefix`, keys are not among them: they are in the environment.
    """
    for option in _TEXTS:
        if prefix != "--" and option.is_secret:
            continue
        told = f"{option.help} (or {option.variable})"
        flag = prefix + option.flag.removeprefix("--")
        add(flag, metavar=option.metavar, default=None, help=told)


def add_target_options(add: Callable[..., object], *, prefix: str = "--") -> None:
    """Add all options for a target, as `add_address_options` does for some."""
    add_address_options(add, prefix=prefix)
    add(
        f"{prefix}ready-timeout",
        metavar="SECONDS",
        type=float,
        default=DEFAULT_READY_TIMEOUT,
        help="how long a sandbox may take to become ready or paused"
        f" (default: {DEFAULT_READY_TIMEOUT:g})",
    )
    add(f"{prefix}long", action="store_true", help="try what takes five minutes, too")
    add(
        f"{prefix}failure-image",
        metavar="MODE=IMAGE",
        action="append",
        default=[],
        help=f"an image whose sandboxes fail; MODE is one of {', '.join(FAILURE_MODES)}",
    )
    add(
        f"{prefix}fake-clock",
        action="store_true",
        help="the proxy is a fake: move its clock instead of waiting (needs the admin key)",
    )


def target_from(values: Mapping[str, Any], environ: Mapping[str, str]) -> Target:
    """Return the target that options and variables say.

    A blank value and an unexpanded reference, such as `${API_KEY}`, count as unset.

    Raises:
        Unusable: they say none that could be asked.
    """
    from .target import Target

    given = {option.name: _given(option, values, environ) for option in _TEXTS}
    url = _url(given["proxy_url"])
    return Target(
        base_url=url,
        admin_key=given["admin_key"],
        api_key=given["api_key"],
        second_api_key=given["second_api_key"],
        time=_time(values, url, given["admin_key"]),
        failure_images=dict(map(_failure_image, values.get("failure_image", ()))),
        may_take_minutes=values.get("long", False),
    )


def without_secrets(
    arguments: Sequence[str], environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Return arguments and environment with every key in the latter: no process list shows that."""
    kept, variables = list[str](), dict(environ)
    rest = iter(arguments)
    for argument in rest:
        flag, is_joined, value = argument.partition("=")
        parts = [argument]
        if flag in SECRETS and not is_joined:
            value = next(rest, "")
            parts += [value] if value else []
        if flag in SECRETS and value and not value.startswith("--"):
            variables[SECRETS[flag]] = value
        else:  # a flag without its value stays too, to be told so
            kept += parts
    return kept, variables


def _given(option: Option, values: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    value = values.get(option.name) or environ.get(option.variable, "")
    text = str(value).strip()
    if _REFERENCE.fullmatch(text):
        return None
    if option.is_secret and not (text.isascii() and " " not in text):
        raise Unusable(f"{option.flag} is no key: expected printable ASCII without spaces.")
    return text or None


def _url(url: str | None) -> str:
    if url is None:
        raise Unusable(
            "No proxy to judge: set PROXY_URL, or pass --proxy-url (pytest: --contract-proxy-url)."
        )
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in {"http", "https"} or not rest or "?" in rest or "#" in rest:
        raise Unusable(
            f"--proxy-url has value {url!r}. Expected a whole address, such as"
            " http://127.0.0.1:8080."
        )
    from sandbox_contract.http.client import NoAddress, check_address

    try:
        check_address(url)
    except NoAddress as exc:
        raise Unusable(f"--proxy-url has value {url!r}, which is no address: {exc}.") from exc
    if "@" in rest.partition("/")[0]:
        raise Unusable("--proxy-url holds a password. Expected an address without one.")
    return url


def _failure_image(text: str) -> tuple[str, str]:
    mode, _, image = text.partition("=")
    if mode not in FAILURE_MODES or not image:
        raise Unusable(
            f"--failure-image has value {text!r}. Expected MODE=IMAGE,"
            f" MODE one of {', '.join(FAILURE_MODES)}."
        )
    return mode, image


def _time(values: Mapping[str, Any], url: str, admin_key: str | None) -> Time:
    from .target import ManualTime, RealTime

    budget = float(values.get("ready_timeout", DEFAULT_READY_TIMEOUT))
    if not 0 < budget < float("inf"):
        raise Unusable(f"--ready-timeout has value {budget:g}. Expected seconds, more than 0.")
    if not values.get("fake_clock"):
        return RealTime(budget)
    if admin_key is None:
        raise Unusable("--fake-clock needs the admin key: pass --admin-key, or set ADMIN_API_KEY.")
    from .target import FakeClock

    return ManualTime(FakeClock(url, admin_key).advance, budget=budget)
