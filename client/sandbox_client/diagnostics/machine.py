"""The checks that need nothing but this machine."""

from __future__ import annotations

from stat import S_IMODE
from typing import TYPE_CHECKING, Final

from sandbox_client.config import (
    VARIABLES,
    config_path,
    env_overrides,
    load_config_file,
    merge_config,
)
from sandbox_client.config_file import chmod_advice, describe_access, printable_path
from sandbox_client.text import pluralize

from .context import Check
from .finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_client.config_file import ConfigFile

    from .context import DiagnosticContext

KEY_LENGTH = 40


async def _configuration(patient: DiagnosticContext) -> Finding:
    environ = patient.provider.environ
    patient.file = file = load_config_file(environ)
    patient.config = merge_config(environ, file)
    words = _sources(environ, file)
    length = len(patient.config.api_key)
    if length == KEY_LENGTH:
        return Finding("passed", words)
    return Finding(
        "warned",
        f"{words}; the key has {pluralize(length, 'character')}, a whole one {KEY_LENGTH}",
        "Compare it with the key that you were given, or give it again with"
        " `remote-sandbox login`.",
    )


def _sources(environ: Mapping[str, str], file: ConfigFile) -> str:
    """Return which values come from where."""
    winning = env_overrides(environ)
    rest = [name for name in VARIABLES if name not in winning]
    filed = [name for name in rest if file.content.get(name) not in (None, "")]
    sources = [f"{', '.join(filed)} from {printable_path(file.path)}"] if filed else []
    return "; ".join([*sources, *(f"{name} from {winning[name]}" for name in winning)])


async def _file_mode(patient: DiagnosticContext) -> Finding:
    path = config_path(patient.provider.environ)
    place = printable_path(path)
    if not path.is_file():  # nor a folder or a device, which no advice here fits
        words = f"there is no file {place}"
        return Finding("not tried", words) if patient.file is None else Finding("passed", words)
    mode = S_IMODE(path.stat().st_mode)
    access = describe_access(mode)
    if not access:
        return Finding("passed", f"{mode:04o}: others on this machine cannot read it")
    if patient.file and not patient.file.access_warning():
        return Finding("passed", f"{mode:04o}, and there is no key in it")
    return Finding("warned", f"{mode:04o}: {access}", chmod_advice(place))


async def _encryption(patient: DiagnosticContext) -> Finding:
    if patient.config.is_in_clear:
        return Finding(
            "warned",
            f"{patient.config.proxy_url} is not encrypted: others on the network can read the key",
            "Put the proxy's https:// address into proxyUrl, or reach it through a tunnel"
            " (`kubectl port-forward`, `ssh -L`).",
        )
    if patient.config.proxy_url.lower().startswith("https:"):
        return Finding("passed", "https: nobody on the way can read the key")
    return Finding("passed", "http within this machine: the key does not leave it")


CHECKS: Final = (
    Check("configuration", _configuration),
    Check("file mode", _file_mode),
    Check("encryption", _encryption, needs="configuration"),
)
