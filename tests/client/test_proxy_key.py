"""The key is sent only to the host of proxyUrl."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
from sandbox_client import ProxyRefused
from sandbox_client.api import sandboxes, shell
from sandbox_client.api.runtime import Task
from sandbox_client.errors import InvalidResponse
from sandbox_client.http import Proxy

from tests.client.secrecy import chained_text, shown_text
from tests.client.stubs import CONFIG, KEY, URL, SequenceStub, error_reply, proxy_over

if TYPE_CHECKING:
    import respx
    from sandbox_client.api.message import Request

_REQUESTS = [
    sandboxes.status("box"),
    sandboxes.delete("box"),
    shell.execute("box", "s1", Task("ls")),
]
_LOCATIONS = [
    "https://elsewhere.test/api/sandboxes/box",
    "//elsewhere.test/",
    "http://proxy.test:8081/",
    "https://proxy.test:8080/prefix/api/sandboxes/box",
    "/login",
    f"{URL}/api/sandboxes/other",
]


async def assert_not_followed(request: Request, status: int, location: str) -> None:
    """Assert that a redirect raises an error without the key after one request."""
    upstream = SequenceStub([httpx.Response(status, headers={"location": location})])

    async with proxy_over(upstream) as proxy:
        with pytest.raises(InvalidResponse, match="redirect") as caught:
            await proxy.send(request)

    assert [str(each.url) for each in upstream.requests] == [f"{URL}{request.path}"]
    assert KEY not in shown_text(caught.value)


@pytest.mark.parametrize("location", _LOCATIONS)
async def test_a_redirect_is_not_followed_to_any_location(location: str) -> None:
    await assert_not_followed(_REQUESTS[0], 302, location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_status_is_followed(status: int) -> None:
    await assert_not_followed(_REQUESTS[0], status, _LOCATIONS[0])


@pytest.mark.parametrize("request_", _REQUESTS, ids=lambda it: str(it.operation))
async def test_no_request_follows_a_redirect(request_: Request) -> None:
    await assert_not_followed(request_, 307, _LOCATIONS[0])


@pytest.mark.parametrize("location", ["https://xn--a/", "http://[", "http://h:999999/", "\x80"])
async def test_an_unreadable_location_is_still_reported_as_a_redirect(location: str) -> None:
    headers = [(b"location", location.encode("latin-1"))]

    async with proxy_over(SequenceStub([httpx.Response(302, headers=headers)])) as proxy:
        with pytest.raises(InvalidResponse, match="redirect"):
            await proxy.send(sandboxes.status("box"))


@pytest.mark.respx(assert_all_called=False)
async def test_no_other_host_gets_a_request(respx_mock: respx.MockRouter) -> None:
    elsewhere = respx_mock.route(host="elsewhere.test").respond(200, json={})
    home = respx_mock.route(host="proxy.test").respond(
        302, headers={"location": "https://elsewhere.test/"}
    )
    async with Proxy(CONFIG) as proxy:
        for request in _REQUESTS:
            with pytest.raises(InvalidResponse):
                await proxy.send(request)

    assert home.call_count == len(_REQUESTS)
    assert not elsewhere.called


async def test_an_echoed_key_is_in_no_error_and_no_cause() -> None:
    echo = error_reply(400, f"Bearer {KEY} is wrong", error=KEY)

    async with proxy_over(SequenceStub([echo])) as proxy:
        with pytest.raises(ProxyRefused, match="wrong") as caught:
            await proxy.send(sandboxes.delete("box"))

    assert KEY not in shown_text(caught.value)
    assert KEY not in chained_text(caught.value)


def test_the_repr_of_the_transport_hides_the_key() -> None:
    proxy = Proxy(CONFIG)

    assert KEY not in repr(proxy)
    assert KEY not in repr(vars(proxy))


async def test_a_value_that_an_agent_gets_is_masked_in_an_error_of_the_proxy() -> None:
    config = replace(CONFIG, agent_values={"MODEL_KEY": "a-secret-value"})
    upstream = SequenceStub([error_reply(400, "no such thing: a-secret-value")])

    async with proxy_over(upstream, config=config) as proxy:
        with pytest.raises(ProxyRefused, match=r"no such thing: \[key\]") as caught:
            await proxy.send(sandboxes.delete("box"))

    assert "a-secret-value" not in shown_text(caught.value)
