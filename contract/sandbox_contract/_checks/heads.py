"""HEAD beside GET, on the proxy's own routes and below `/proxy/`."""

from sandbox_contract._wire.caller import Caller
from sandbox_contract._wire.expect import require


async def expect_head_as_get(caller: Caller, path: str) -> None:
    """Expect the status and headers of GET, and no body."""
    get, head, again = [await caller(method, path) for method in ("GET", "HEAD", "GET")]
    head.expect(get.status)
    require(not head.exchange.body, "no body", head, head)
    for name in ("content-type", "content-length"):
        wanted, got = get.headers.get(name), head.headers.get(name)
        # A response in chunks has no length, and one whose content changes meanwhile has two.
        is_known = wanted is not None and wanted == again.headers.get(name)
        require(not is_known or got == wanted, f"{name}: {wanted}", got or "none", head)
