"""`pytest --pyargs sandbox_contract --proxy-url URL` judges the proxy at that address."""

import os

import pytest

from ._options import NAMES, Unusable, target_from
from ._suite import ProxyContract
from ._target import Target


@pytest.fixture(scope="module")
def target(pytestconfig: pytest.Config) -> Target:
    """Supply the proxy that the options name."""
    values = {name: pytestconfig.getoption(name) for name in NAMES}
    try:
        return target_from(values, os.environ)
    except Unusable as exc:
        pytest.fail(str(exc), pytrace=False)


class TestProxy(ProxyContract):
    """The whole contract."""
