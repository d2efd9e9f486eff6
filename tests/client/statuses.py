"""The rows of the wire contract's Readiness and Profiles tables, as the proxy sends them."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from sandbox_client import State

from tests.client.stubs import CREATED_AT


@dataclass(frozen=True)
class StatusRow:
    """One status of a sandbox in one controller profile, and the state that it means."""

    id: str
    state: State
    ready: bool
    replicas: int
    reason: str | None
    message: str | None

    def body(self, name: str = "box") -> dict[str, object]:
        """Return the body of the reply to GET of one sandbox."""
        new = self.reason is None
        body: dict[str, object] = {
            "name": name,
            "namespace": "user-ada",
            "service": "pending" if new else name,
            "serviceFQDN": "pending" if new else f"{name}.user-ada.svc.cluster.local",
            "replicas": self.replicas,
            "ready": self.ready,
            "createdAt": CREATED_AT,
        }
        if self.reason is not None:
            body |= {"readyReason": self.reason, "readyMessage": self.message}
        return body

    def listed(self, name: str = "box") -> dict[str, object]:
        """Return the sandbox's row in a list: without replicas, reason and message."""
        left_out = {"replicas", "readyReason", "readyMessage"}
        return {key: value for key, value in self.body(name).items() if key not in left_out}

    def response(self, name: str = "box") -> httpx.Response:
        return httpx.Response(200, json=self.body(name))


_WAITING = "DependenciesNotReady"
_EXISTS = "; Service Exists"

ALPHA_NEW = StatusRow("v1alpha1 just created", State.PENDING, False, 0, None, None)
ALPHA_PENDING = StatusRow(
    "v1alpha1 pending",
    State.PENDING,
    False,
    1,
    _WAITING,
    f"Pod exists with phase: Pending{_EXISTS}",
)
ALPHA_STARTING = StatusRow(
    "v1alpha1 starting",
    State.STARTING,
    False,
    1,
    _WAITING,
    f"Pod is Running but not Ready{_EXISTS}",
)
ALPHA_READY = StatusRow(
    "v1alpha1 ready", State.READY, True, 1, "DependenciesReady", f"Pod is Ready{_EXISTS}"
)
ALPHA_PAUSED = StatusRow(
    "v1alpha1 paused",
    State.PAUSED,
    True,
    0,
    "DependenciesReady",
    f"Pod does not exist, replicas is 0{_EXISTS}",
)
ALPHA_STALE = StatusRow(
    "v1alpha1 right after a resume, not counted yet",
    State.PENDING,
    True,
    0,
    "DependenciesReady",
    f"Pod is Ready{_EXISTS}",
)
ALPHA_FAILED = StatusRow(
    "v1alpha1 failed pod",
    State.FAILED,
    False,
    1,
    _WAITING,
    f"Pod exists with phase: Failed{_EXISTS}",
)
ALPHA_EXPIRED = StatusRow(
    "v1alpha1 expired", State.EXPIRED, False, 0, "SandboxExpired", "Sandbox has expired"
)
ALPHA_ERROR = StatusRow(
    "v1alpha1 controller error", State.FAILED, False, 1, "ReconcilerError", "Error seen: no quota"
)
ALPHA_EARLY_ERROR = StatusRow(
    "v1alpha1 controller error, no pod yet",
    State.FAILED,
    False,
    0,
    "ReconcilerError",
    "Error seen: no name",
)

BETA_NEW = StatusRow("v1beta1 just created", State.PENDING, False, 0, None, None)
BETA_PENDING = StatusRow(
    "v1beta1 pending", State.PENDING, False, 0, _WAITING, f"Pod exists with phase: Pending{_EXISTS}"
)
BETA_STARTING = StatusRow(
    "v1beta1 starting", State.STARTING, False, 0, _WAITING, f"Pod is Running but not Ready{_EXISTS}"
)
BETA_READY = StatusRow("v1beta1 ready", State.READY, True, 0, "DependenciesReady", "Pod is Ready")
BETA_PAUSED = StatusRow(
    "v1beta1 paused", State.PAUSED, False, 0, "SandboxSuspended", "Sandbox is suspended"
)
BETA_FAILED = StatusRow("v1beta1 failed pod", State.FAILED, False, 0, "PodFailed", "Pod failed")
BETA_EXPIRED = StatusRow(
    "v1beta1 expired", State.EXPIRED, False, 0, "SandboxExpired", "Sandbox has expired"
)
BETA_ERROR = StatusRow(
    "v1beta1 controller error", State.FAILED, False, 0, "ReconcilerError", "Error seen: no quota"
)

STATUS_ROWS = (
    ALPHA_NEW,
    ALPHA_PENDING,
    ALPHA_STARTING,
    ALPHA_READY,
    ALPHA_PAUSED,
    ALPHA_STALE,
    ALPHA_FAILED,
    ALPHA_EXPIRED,
    ALPHA_ERROR,
    ALPHA_EARLY_ERROR,
    BETA_NEW,
    BETA_PENDING,
    BETA_STARTING,
    BETA_READY,
    BETA_PAUSED,
    BETA_FAILED,
    BETA_EXPIRED,
    BETA_ERROR,
)


@dataclass(frozen=True)
class Profile:
    """The statuses of one controller version that the operations meet."""

    name: str
    new: StatusRow
    pending: StatusRow
    starting: StatusRow
    ready: StatusRow
    paused: StatusRow
    failed: StatusRow


ALPHA = Profile(
    "v1alpha1", ALPHA_NEW, ALPHA_PENDING, ALPHA_STARTING, ALPHA_READY, ALPHA_PAUSED, ALPHA_FAILED
)
BETA = Profile(
    "v1beta1", BETA_NEW, BETA_PENDING, BETA_STARTING, BETA_READY, BETA_PAUSED, BETA_FAILED
)
PROFILES = (ALPHA, BETA)
