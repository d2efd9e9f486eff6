import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sandbox_fakeproxy import Store
from sandbox_fakeproxy._clock import iso
from sandbox_fakeproxy._errors import AlreadyExists, StoreUnusable
from sandbox_fakeproxy._records import ApiKey, Sandbox, User

NOW = datetime(2026, 1, 1, 12, 30, 15, 123457, tzinfo=UTC)
USER = User("u1", "alice", "a@example.org", True, NOW, NOW)
KEY = ApiKey("k1", "u1", "sk_live_abcd", "laptop", True, NOW, NOW, None)
SANDBOX = Sandbox("s1", "u1", "box", "image", NOW, NOW, NOW + timedelta(microseconds=1))


def test_all_of_it_survives_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.add_user(USER)
    store.add_key(KEY, b"hash")
    store.add_sandbox(SANDBOX)
    store.note_advance(1.5)
    store.note_advance(2)
    store.close()
    again = Store(tmp_path / "state")
    assert again.users() == [USER]
    assert again.key_by_hash(b"hash") == (b"hash", KEY, USER)
    assert again.sandboxes("u1") == [SANDBOX]
    assert again.seconds_advanced() == 3.5
    again.close()


def test_nothing_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.add_user(USER)
    # What is on disk now is what another process would find.
    other = Store(tmp_path / "state")
    assert other.users() == [USER]
    other.close()
    store.close()


def test_names_are_unique_by_the_schema() -> None:
    store = Store()
    store.add_user(USER)
    with pytest.raises(AlreadyExists, match="User with username 'alice' already exists"):
        store.add_user(replace(USER, id="u2"))
    store.add_user(replace(USER, id="u2", username="bob"))
    store.add_sandbox(SANDBOX)
    with pytest.raises(AlreadyExists, match="Sandbox 'box' already exists"):
        store.add_sandbox(replace(SANDBOX, id="s2"))
    store.add_sandbox(replace(SANDBOX, id="s2", user_id="u2"))
    store.close()


def test_nothing_belongs_to_nobody_by_the_schema() -> None:
    store = Store()
    with pytest.raises(sqlite3.IntegrityError):
        store.add_sandbox(SANDBOX)
    with pytest.raises(sqlite3.IntegrityError):
        store.add_key(KEY, b"hash")
    store.close()


def test_deleting_a_user_takes_keys_and_sandboxes_along() -> None:
    store = Store()
    store.add_user(USER)
    store.add_key(KEY, b"hash")
    store.add_sandbox(SANDBOX)
    store.delete_user("u1")
    assert store.key("k1") is None
    assert store.sandbox_ids() == []
    store.close()


def test_newest_is_first_also_within_one_instant() -> None:
    store = Store()
    store.add_user(USER)
    later = NOW + timedelta(seconds=1)
    store.add_sandbox(replace(SANDBOX, id="1", name="one", created_at=later))
    for number in ("2", "3"):
        store.add_sandbox(replace(SANDBOX, id=number, name=f"n{number}"))
    assert [sandbox.id for sandbox in store.sandboxes("u1")] == ["1", "3", "2"]
    store.close()


@pytest.mark.parametrize(
    "question",
    [
        "SELECT * FROM api_keys WHERE key_hash = ?",
        "SELECT * FROM api_keys WHERE user_id = ? ORDER BY created_at DESC, seq DESC",
        "SELECT * FROM sandboxes WHERE user_id = ? ORDER BY created_at DESC, seq DESC",
        "SELECT count(*) FROM sandboxes WHERE user_id = ?",
        "SELECT * FROM sandboxes WHERE user_id = ? AND name = ''",
    ],
)
def test_every_question_of_a_request_is_answered_by_an_index(tmp_path: Path, question: str) -> None:
    Store(tmp_path / "state").close()
    database = sqlite3.connect(tmp_path / "state")
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {question}", ("x",))]
    database.close()
    assert len(plan) == 1, plan  # no scan, no sorting
    assert "USING" in plan[0]
    assert "INDEX" in plan[0]


def test_a_key_is_never_kept_in_clear(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.add_user(USER)
    store.add_key(KEY, b"hash")
    columns = {row[1] for row in store._db.execute("PRAGMA table_info(api_keys)")}  # pyright: ignore[reportPrivateUsage]  # the schema is the subject
    assert columns >= {"key_hash", "key_prefix"}
    assert not columns & {"key", "secret", "api_key"}
    store.close()


def test_a_key_that_was_found_before_is_found_as_it_is_now() -> None:
    store = Store()
    store.add_user(USER)
    assert store.key_by_hash(b"hash") is None
    store.add_key(KEY, b"hash")
    assert store.key_by_hash(b"hash") == (b"hash", KEY, USER)
    store.revoke_key("k1")
    revoked = replace(KEY, is_active=False)
    assert store.key_by_hash(b"hash") == (b"hash", revoked, USER)
    inactive = replace(USER, is_active=False)
    store.update_user(inactive)
    assert store.key_by_hash(b"hash") == (b"hash", revoked, inactive)
    store.delete_user("u1")
    assert store.key_by_hash(b"hash") is None
    store.close()


def test_a_sandbox_that_was_found_before_is_found_as_it_is_now() -> None:
    store = Store()
    store.add_user(USER)
    store.add_sandbox(SANDBOX)
    assert store.sandbox("u1", "box") == SANDBOX
    resumed = replace(SANDBOX, paused_at=None)
    store.update_sandbox(resumed)
    store.note_use("k1", NOW)
    assert store.sandbox("u1", "box") == resumed
    store.delete_sandbox(SANDBOX.id)
    assert store.sandbox("u1", "box") is None
    again = replace(SANDBOX, id="s2")
    store.add_sandbox(again)
    assert store.sandbox("u1", "box") == again
    store.delete_user("u1")
    assert store.sandbox("u1", "box") is None
    store.close()


def test_what_was_found_is_seldom_asked_again_and_takes_bounded_memory() -> None:
    store = Store()
    store.add_user(USER)
    store.add_key(KEY, b"hash")
    for number in range(2500):
        store.add_sandbox(replace(SANDBOX, id=str(number), name=f"n{number}"))
    asked: list[str] = []
    store._db.set_trace_callback(asked.append)  # pyright: ignore[reportPrivateUsage]  # what it asks is the subject
    for number in range(2500):
        for _ in range(3):
            assert store.sandbox("u1", f"n{number}") is not None
    assert 2500 <= len(asked) < 2510
    assert len(store._recall.sandboxes) <= 1000  # pyright: ignore[reportPrivateUsage]  # as is what it keeps
    store.note_use("k1", NOW)
    asked.clear()
    assert store.sandbox("u1", "n2499") is not None
    assert asked == []
    store.close()


def test_the_use_of_a_key_is_kept_to_the_millisecond() -> None:
    store = Store()
    store.add_user(USER)
    store.add_key(KEY, b"hash")
    store.add_key(replace(KEY, id="k2"), b"other hash")
    for microseconds in (0, 1, 999, 1000):
        for key_id in ("k1", "k2"):
            now = NOW + timedelta(microseconds=microseconds)
            store.note_use(key_id, now)
            (key,) = (key for key in store.keys("u1") if key.id == key_id)
            assert key.last_used_at is not None
            assert iso(key.last_used_at) == iso(now)
    store.close()


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_text("this is no database, and it is long enough to be looked at as one" * 20)
    with pytest.raises(StoreUnusable, match=str(file)):
        Store(file)


def test_the_state_of_another_version_is_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "state")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreUnusable, match="version 99, expected 1"):
        Store(tmp_path / "state")
