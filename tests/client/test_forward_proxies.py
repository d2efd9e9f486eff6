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
        ("NO_PROXY", "*.test", False),
        ("NO_PROXY", "proxy.test:8443", False),
        ("NO_PROXY", ".test:8443,other.test", False),
        ("NO_PROXY", "proxy.test:443", True),
        ("NO_PROXY", "10.0.0.0/8", True),
        ("NO_PROXY", "other.test", True),
        ("NO_PROXY", "", True),
    ],
)
def test_no_proxy_excludes_a_host(name: str, excluded: str, is_named: bool) -> None:
    environ = {"HTTPS_PROXY": FORWARD, name: excluded}

    assert bool(unused_variables(environ, HTTPS)) is is_named


@pytest.mark.parametrize(
    ("url", "excluded", "is_named"),
    [
        ("http://10.1.2.3", "10.0.0.0/8", False),
        ("http://10.1.2.3", "192.168.0.0/16, 10.1.2.3", False),
        ("http://10.1.2.3", "10.1.2.3:80", False),
        ("http://10.1.2.3:8080", "10.1.2.3:80", True),
        ("http://10.1.2.3", "192.168.0.0/16", True),
        ("http://[fd00::1]", "fd00::/8", False),
        ("http://[fd00::1]:81", "[fd00::1]:81", False),
        ("http://[fd00::1]", "fd00::1", False),
        ("http://[fd00::1]", "fd00::2", True),
        ("https://proxy.test", "proxy.test:443", False),
    ],
)
def test_no_proxy_excludes_a_port_an_address_or_a_network(
    url: str, excluded: str, is_named: bool
) -> None:
    environ = {"ALL_PROXY": FORWARD, "NO_PROXY": excluded}

    assert bool(unused_variables(environ, url)) is is_named


def test_a_configuration_has_the_names_and_not_the_values() -> None:
    config = config_from_values({"ALL_PROXY": FORWARD}, HTTPS)

    assert config.unused_proxies == ("ALL_PROXY",)
    assert "password" not in repr(vars(config))
