"""Fixtures of all end-to-end tests: the fake proxy and a home directory, as in `integration`."""

from tests.integration.conftest import fake, home

__all__ = ["fake", "home"]
