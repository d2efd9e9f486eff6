"""The key goes to the host of proxyUrl and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from sandbox_client import _shell_wire, _wire
from sandbox_client._errors import BrokenReply
from sandbox_client._proxy import Proxy

from tests.client.doubles import CONFIG, KEY, URL, Upstream, proxy_over, says
from tests.client.leaks import all_words, hidden_words

if TYPE_CHECKING:
    import respx
    from sandbox_client._message import Request

_REQUESTS = [_wire.status("box"), _wire.delete("box"), _shell_wire.execute("box", "s1", "ls")]
_PLACES = [
    "https://elsewhere.test/api/sandboxes/box",
    "//elsewhere.test/",
    "http://proxy.test:8081/",
    "https://proxy.test:8080/prefix/api/sandboxes/box",
    "/login",
    f"{URL}/api/sandboxes/other",
]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", _PLACES)
@pytest.mark.parametrize("request_", _REQUESTS, ids=lambda it: str(it.operation))
async def test_a_redirect_is_not_followed_wherever_it_leads(
    request_: Request, place: str, status: int
) -> None:
    upstream = Upstream([httpx.Response(status, headers={"location": place})])

    async with proxy_over(upstream) as proxy:
        with pytest.raises(BrokenReply, match="redirect") as caught:
            await proxy.send(request_)

    assert [str(each.url) for each in upstream.requests] == [f"{URL}{request_.path}"]
    assert KEY not in all_words(caught.value)


@pytest.mark.parametrize("place", ["https://xn--a/", "http://[", "http://h:999999/", "\x80"])
async def test_a_redirect_to_nowhere_is_still_a_redirect(place: str) -> None:
    headers = [(b"location", place.encode("latin-1"))]

    async with proxy_over(Upstream([httpx.Response(302, headers=headers)])) as proxy:
        with pytest.raises(BrokenReply, match="redirect"):
            await proxy.send(_wire.status("box"))


@pytest.mark.respx(assert_all_called=False)
async def test_no_other_host_is_ever_asked(respx_mock: respx.MockRouter) -> None:
    elsewhere = respx_mock.route(host="elsewhere.test").respond(200, json={})
    home = respx_mock.route(host="proxy.test").respond(
        302, headers={"location": "https://elsewhere.test/"}
    )
    async with Proxy(CONFIG) as proxy:
        for request in _REQUESTS:
            with pytest.raises(BrokenReply):
                await proxy.send(request)

    assert home.call_count == len(_REQUESTS)
    assert not elsewhere.called


@pytest.mark.parametrize("status", [400, 401, 403, 409, 418, 429, 500, 503])
async def test_a_reply_that_echoes_the_key_does_not_get_it_into_an_error(status: int) -> None:
    echo = says(status, f"Bearer {KEY} is wrong", error=KEY)

    async with proxy_over(Upstream([echo])) as proxy:
        with pytest.raises(Exception, match="wrong") as caught:
            await proxy.send(_wire.delete("box"))

    assert KEY not in all_words(caught.value)
    assert KEY not in hidden_words(caught.value)


def test_the_client_does_not_show_its_key() -> None:
    proxy = Proxy(CONFIG)

    assert KEY not in repr(proxy)
    assert KEY not in repr(vars(proxy))
