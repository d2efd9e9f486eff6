"""The MCP resources, without the MCP package: `sandbox://list`, and `sandbox://{name}` for each.

A sandbox that is named `list` has its state in the list alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sandbox_client.api.sandboxes import check_name
from sandbox_client.errors import InvalidInput
from sandbox_client.presentation import list_content, status_content

if TYPE_CHECKING:
    from sandbox_client.provider import ClientProvider

SCHEME: Final = "sandbox://"
LIST: Final = f"{SCHEME}list"
TEMPLATE: Final = f"{SCHEME}{{name}}"
MIME_TYPE: Final = "application/json"


async def read(provider: ClientProvider, uri: str) -> str:
    """Return what the resource holds, as JSON.

    Raises:
        InvalidInput: there is no such resource.
        SandboxError: the proxy cannot be asked, or says no.
    """
    if not uri.startswith(SCHEME):
        raise InvalidInput(
            "The resource's URI is none of a sandbox",
            advice=f"Read {LIST}, or {TEMPLATE} with a sandbox's name.",
        )
    async with provider.client() as client:
        if uri == LIST:
            content = list_content(await client.list())
        else:
            name = check_name(uri.removeprefix(SCHEME))
            content = status_content(await client.status(name))
    return json.dumps(content, indent=2, ensure_ascii=False)
