"""The names that a program imports from `sandbox_client`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sandbox_client
from sandbox_client import Client, errors

NAMES = {
    "AlreadyExists",
    "Client",
    "CommandResult",
    "Config",
    "ConfigError",
    "Entry",
    "FileRefused",
    "IdleSandbox",
    "InvalidInput",
    "KeyRejected",
    "Listing",
    "NotReady",
    "Output",
    "OutputChunk",
    "Paused",
    "ProxyFailed",
    "ProxyRefused",
    "ProxyUnreachable",
    "Pull",
    "Push",
    "PushPlan",
    "QuotaReached",
    "RepositoryRefused",
    "Row",
    "Sandbox",
    "SandboxCommand",
    "SandboxCommands",
    "SandboxError",
    "SandboxFailed",
    "SandboxNotFound",
    "Session",
    "SessionBusy",
    "SessionNotFound",
    "SessionRow",
    "Signal",
    "State",
    "WaitResult",
    "WorkRefused",
}


def test_the_public_names_are_these() -> None:
    assert set(sandbox_client.__all__) == NAMES
    assert all(getattr(sandbox_client, name) is not None for name in NAMES)
    assert sandbox_client.SandboxError is errors.SandboxError


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'sandbox_client' has no attribute 'nonsense'"):
        getattr(sandbox_client, "nonsense")  # noqa: B009  # no type checker lets it pass else


def test_the_package_imports_nothing_before_a_name_is_used() -> None:
    program = "import sys; before = set(sys.modules); import sandbox_client; print(*sys.modules)"
    package = str(Path(sandbox_client.__file__).parent.parent)
    loaded = subprocess.check_output(
        [sys.executable, "-S", "-c", program], env={"PYTHONPATH": package}, text=True
    ).split()

    assert [name for name in loaded if name.startswith("sandbox_client")] == ["sandbox_client"]
    assert "typing" not in loaded


async def test_a_client_has_the_configuration_of_the_environment() -> None:
    environ = {
        "HOME": "/nonexistent",
        "REMOTE_SANDBOX_PROXY_URL": "https://proxy.test",
        "REMOTE_SANDBOX_API_KEY": "sk_live_" + "a" * 32,
    }

    async with Client.from_config(environ) as client:
        assert client.proxy.config.proxy_url == "https://proxy.test"
