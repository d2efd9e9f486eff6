"""The baseline of `remote-sandbox list`: the same request with httpx, and its response printed."""

from __future__ import annotations

import os

import httpx

if __name__ == "__main__":
    key = os.environ["REMOTE_SANDBOX_API_KEY"]
    url = f"{os.environ['REMOTE_SANDBOX_PROXY_URL']}/api/sandboxes"
    reply = httpx.get(url, headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    print(reply.raise_for_status().text)
