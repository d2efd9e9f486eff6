"""The variables of the environment that name a forward proxy, which is not used."""

from __future__ import annotations

import pytest
from sandbox_client.config import config_from_values
from sandbox_client.forward_proxies import unused_variables

HTTPS, HTTP = "https://proxy.test:8443", "http://proxy.test"
FORWARD = "http://ada:password@forward.test:3128"


@pytest.mark.parametrize(
    ("url", "variables", "expected"),
    [
        (HTTPS, ["HTTPS_PROXY"], ["HTTPS_PROXY"]),
        (HTTPS, ["https_proxy"], ["https_proxy"]),
        (HTTPS, ["HTTP_PROXY", "http_proxy"], []),
        (HTTP, ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY"], ["HTTP_PROXY", "http_proxy"]),
        (HTTP, ["ALL_PROXY"], ["ALL_PROXY"]),
        ("HTTPS://PROXY.TEST", ["all_proxy", "HTTPS_PROXY"], ["HTTPS_PROXY", "all_proxy"]),
        (HTTPS, [], []),
    ],
)
def test_the_variables_for_the_scheme_are_named(
    url: str, variables: list[str], expected: list[str]
) -> None:
    assert list(unused_variables(dict.fromkeys(variables, FORWARD), url)) == expected


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_variable_names_no_proxy(value: str) -> None:
    assert unused_variables({"HTTPS_PROXY": value}, HTTPS) == ()


@pytest.mark.parametrize(
    ("name", "excluded", "is_named"),
    [
        ("NO_PROXY", "proxy.test", False),
        ("no_proxy", "localhost, .test", False),
        ("NO_PROXY", "*", False),
        ("NO_PROXY", "other.test", True),
        ("NO_PROXY", "", True),
    ],
)
def test_no_proxy_excludes_a_host(name: str, excluded: str, is_named: bool) -> None:
    environ = {"HTTPS_PROXY": FORWARD, name: excluded}

    assert bool(unused_variables(environ, HTTPS)) is is_named


def test_a_configuration_has_the_names_and_not_the_values() -> None:
    config = config_from_values({"ALL_PROXY": FORWARD}, HTTPS)

    assert config.unused_proxies == ("ALL_PROXY",)
    assert "password" not in repr(vars(config))
