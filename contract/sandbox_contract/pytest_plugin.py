"""Options for `pytest --pyargs sandbox_contract`, the same as those of `sandbox-contract run`.

pytest loads this module wherever the distribution is installed, so it imports no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._options import add_target_options

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_addoption"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what says which proxy is judged, with which keys."""
    add_target_options(parser.getgroup("sandbox proxy contract").addoption)
