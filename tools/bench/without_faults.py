"""The baseline of unarmed faults: `sandbox-fakeproxy` without the layer that injects them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from unittest.mock import patch

from sandbox_fakeproxy.serving import cli

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def no_layer(app: ASGIApp, **_options: object) -> ASGIApp:
    """Return the app itself, in place of a layer around it."""
    return app


if __name__ == "__main__":
    with patch("sandbox_fakeproxy.app.FaultInjection", no_layer):
        sys.exit(cli.main())
