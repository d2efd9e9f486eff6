"""Hypothesis strategies for odd or broken input: texts, JSON, reply bodies, redirects."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.client.stubs import KEY

# Without a database: nothing is left in the working tree. Without a deadline: machines differ.
many_examples = settings(
    max_examples=100,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
some_examples = settings(many_examples, max_examples=40)


def text_around_key(before: str, after: str) -> str:
    return f"{before}{KEY}{after}"


def _data(inner: object) -> dict[str, object]:
    return {"success": True, "data": inner}


def _made(inner: object) -> dict[str, object]:
    return {"success": True, "sandbox": inner}


def _listed(rows: object) -> dict[str, object]:
    return {"count": 1, "sandboxes": rows}


odd_texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", " ", "\n", "\x1b[31m", "\u202e", "\ud800", "[red]x", "{delete}", "a" * 400]
    ),
    st.builds(text_around_key, st.text(max_size=5), st.text(max_size=5)),
)

any_json = st.recursive(
    st.one_of(
        st.sampled_from([None, True, False, 0, -1, 1.5, float("inf"), 10**400, KEY]),
        st.integers(),
        odd_texts,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(odd_texts, inner, max_size=3)
    ),
    max_leaves=5,
)

# The members that the readers look for, with any value.
_FIELDS = [
    "error",
    "message",
    "detail",
    "success",
    "sandbox",
    "sandboxes",
    "data",
    "name",
    "ready",
    "replicas",
    "readyReason",
    "readyMessage",
    "image",
    "output",
    "stdout",
    "stderr",
    "offset",
    "stderr_offset",
    "command",
    "current_command",
    "exit_code",
    "status",
    "session_id",
    "count",
]
likely_json = st.dictionaries(st.sampled_from(_FIELDS), any_json, max_size=5)
nested_json = st.one_of(
    likely_json,
    likely_json.map(_data),
    likely_json.map(_made),
    st.lists(likely_json, max_size=3).map(_listed),
)

malformed_bodies = st.one_of(
    st.binary(max_size=200),
    st.one_of(any_json, nested_json).map(json.dumps).map(str.encode),
    st.sampled_from(
        [
            b"",
            b"null",
            b"[" * 100_000,
            b"\xef\xbb\xbf{}",
            b"<!doctype html>" + KEY.encode(),
            b'{"message": ' + b"9" * 5000 + b"}",
            b'{"message": "' + KEY.encode() + b'"}',
        ]
    ),
)

odd_locations = st.one_of(
    st.sampled_from(
        [
            "",
            "/",
            "//",
            "http://",
            "http://[",
            "http://[::1",
            "https://elsewhere.test/",
            "http://h:99999999/",
            "https://xn--a/",
            "https://xn--zzzzzzzzzzz/",
            "javascript:alert(1)",
            f"https://elsewhere.test/?key={KEY}",
            f"https://{KEY}/",
            "http://\u0080/",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
)
