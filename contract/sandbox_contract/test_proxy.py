"""`pytest --pyargs sandbox_contract --contract-proxy-url URL` judges the proxy at that address."""

import os
from typing import Any

import pytest

from .options import SETTINGS, Unusable, target_from
from .pytest_plugin import PREFIX
from .pytest_suite import ProxyContract
from .target import Target


@pytest.fixture(scope="module")
def target(pytestconfig: pytest.Config) -> Target:
    """Return the proxy at `--contract-proxy-url`, with the keys from the environment."""
    values: dict[str, Any] = {"proxy_url": pytestconfig.getoption(f"{PREFIX}proxy-url")}
    for setting in SETTINGS:
        values[setting.replace("-", "_")] = pytestconfig.getoption(f"{PREFIX}{setting}")
    try:
        return target_from(values, os.environ)
    except Unusable as exc:
        pytest.fail(str(exc), pytrace=False)


class TestProxy(ProxyContract):
    """The whole contract."""
