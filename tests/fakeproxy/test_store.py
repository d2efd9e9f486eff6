import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sandbox_fakeproxy import ScriptedRuntime, Store, create_app
from sandbox_fakeproxy.clock import Instant, iso
from sandbox_fakeproxy.errors import AlreadyExists, StoreUnusable
from sandbox_fakeproxy.model import ApiKey, FailureMode, Intent, Sandbox, User

NOW = datetime(2026, 1, 1, 12, 30, 15, 123457, tzinfo=UTC)
USER = User("u1", "alice", "a@example.org", True, NOW, NOW)
KEY = ApiKey("k1", "u1", "sk_live_abcd", "laptop", True, NOW, Instant.of(NOW), None)
SANDBOX = Sandbox("s1", "u1", "box", "image", NOW, Intent(FailureMode.RUNNING, False, NOW))
CHANGED = replace(
    SANDBOX,
    desired=Intent(FailureMode.FAILED, True, NOW + timedelta(microseconds=1)),
    observed=SANDBOX.desired,
    had_service=True,
)

# As the first version of the fake made it.
VERSION_1 = """
CREATE TABLE users (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, username TEXT NOT NULL UNIQUE,
    email TEXT, is_active INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
);
CREATE TABLE api_keys (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key_hash BLOB NOT NULL UNIQUE, key_prefix TEXT NOT NULL, name TEXT, is_active INTEGER NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER, last_used_at INTEGER
);
CREATE INDEX api_keys_by_user ON api_keys (user_id, created_at);
CREATE TABLE sandboxes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL, image TEXT NOT NULL, created_at INTEGER NOT NULL,
    running_since INTEGER NOT NULL, paused_at INTEGER, UNIQUE (user_id, name)
);
CREATE INDEX sandboxes_by_user ON sandboxes (user_id, created_at);
CREATE TABLE clock (seconds_advanced REAL NOT NULL);
INSERT INTO clock VALUES (0);
PRAGMA user_version = 1;
"""


def at(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def running(since: int) -> Intent:
    return Intent(FailureMode.RUNNING, False, at(since))


def paused(since: int) -> Intent:
    return Intent(FailureMode.RUNNING, True, at(since))


def test_all_of_it_survives_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.add_user(USER)
    store.add_key(KEY, b"hash")
    store.add_sandbox(SANDBOX)
    store.update_sandbox(CHANGED)
    store.add_sandbox(replace(SANDBOX, id="s2", name="other"))
    store.note_advance(1.5)
    store.note_advance(2)
    store.close()
    again = Store(tmp_path / "state")
    assert again.users() == [USER]
    assert again.key_by_hash(b"hash") == (b"hash", KEY, USER)
    assert again.sandboxes("u1") == [replace(SANDBOX, id="s2", name="other"), CHANGED]
    assert again.rows_created() == 4
    assert again.seconds_advanced() == 3.5
    again.close()


def test_nothing_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.add_user(USER)
    # Another process would find the same on the disk.
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


def test_a_key_and_a_sandbox_need_a_user_by_the_schema() -> None:
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
    assert store.ids_with_files() == []
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


def plans(store: Store, asking: Callable[[Store], object]) -> list[str]:
    """Return how each query that a call makes is answered."""
    database = store._db  # pyright: ignore[reportPrivateUsage]  # its queries are the subject
    asked: list[str] = []
    database.set_trace_callback(asked.append)
    asking(store)
    database.set_trace_callback(None)
    assert asked
    return [row[3] for query in asked for row in database.execute(f"EXPLAIN QUERY PLAN {query}")]


QUESTIONS: dict[str, Callable[[Store], object]] = {
    "the user of an id": lambda store: store.user("u1"),
    "the user of a name": lambda store: store.user_named("alice"),
    "whether a name is taken": lambda store: store.has_username("alice"),
    "a change of a user": lambda store: store.update_user(USER),
    "the key of a secret": lambda store: store.key_by_hash(b"hash"),
    "the key of an id": lambda store: store.key("k1"),
    "the keys of a user": lambda store: store.keys("u1"),
    "the revoking of a key": lambda store: store.revoke_key("k1"),
    "the use of a key": lambda store: store.note_use("k1", NOW),
    "the sandboxes of a user": lambda store: store.sandboxes("u1"),
    "how many sandboxes a user has": lambda store: store.count_sandboxes("u1"),
    "the sandbox of a name": lambda store: store.sandbox("u1", "box"),
    "a change of a sandbox": lambda store: store.update_sandbox(CHANGED),
    "the end of a sandbox": lambda store: store.delete_sandbox("s1"),
    "the end of a user": lambda store: store.delete_user("u1"),
}


def with_one_of_each() -> Store:
    store = Store()
    store.add_user(USER)
    store.add_key(KEY, b"hash")
    store.add_sandbox(SANDBOX)
    return store


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_of_a_request_is_answered_by_an_index(question: str) -> None:
    store = with_one_of_each()
    for plan in plans(store, QUESTIONS[question]):
        assert plan.startswith("SEARCH"), plan  # no scan, no sorting
        assert "INDEX" in plan, plan
    store.close()


def assert_users_are_listed_without_sorting(store: Store) -> None:
    (every,) = plans(store, lambda store: store.users())
    (active,) = plans(store, lambda store: store.users(active_only=True))
    assert every == "SCAN users USING INDEX users_by_age"
    assert active == "SCAN users USING INDEX active_users_by_age"


def test_users_are_listed_without_sorting_newest_first() -> None:
    store = Store()
    ages = {"old": timedelta(-1), "first": timedelta(0), "gone": timedelta(0), "new": timedelta(1)}
    for name, age in ages.items():
        user = User(name, name, None, name != "gone", NOW + age, NOW)
        store.add_user(user)
    assert [user.id for user in store.users()] == ["new", "gone", "first", "old"]
    assert [user.id for user in store.users(active_only=True)] == ["new", "first", "old"]
    assert_users_are_listed_without_sorting(store)
    store.close()


def steps(store: Store, asking: Callable[[Store], object]) -> int:
    """Return how many steps the database takes to answer."""
    database = store._db  # pyright: ignore[reportPrivateUsage]  # its work is the subject
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1

    database.set_progress_handler(step, 1)
    asking(store)
    database.set_progress_handler(None, 1)
    return taken


def among(others: int) -> Store:
    """Return a store with one user's rows and those of `others` users."""
    store = with_one_of_each()
    with store.transaction():
        for number in range(others):
            other = f"o{number}"
            store.add_user(replace(USER, id=other, username=other))
            store.add_key(replace(KEY, id=other, user_id=other), other.encode())
            store.add_sandbox(replace(SANDBOX, id=other, user_id=other))
    return store


def test_no_query_about_one_user_reads_rows_of_others() -> None:
    few, many = among(10), among(1_000)
    costs = {question: steps(few, asking) for question, asking in QUESTIONS.items()}
    assert costs == {question: steps(many, asking) for question, asking in QUESTIONS.items()}
    assert min(costs.values()) > 0
    few.close()
    many.close()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("10, NULL", Sandbox("s", "u", "box", "i", at(10), running(10))),
        ("10, 20", Sandbox("s", "u", "box", "i", at(10), paused(20), running(10), True)),
        ("30, NULL", Sandbox("s", "u", "box", "i", at(10), running(30), paused(10), True)),
    ],
)
def test_the_state_of_version_1_is_taken_over(
    tmp_path: Path, columns: str, expected: Sandbox
) -> None:
    database = sqlite3.connect(tmp_path / "state")
    database.executescript(VERSION_1)
    database.execute("INSERT INTO users VALUES (1, 'u', 'alice', NULL, 1, 10, 10)")
    sandbox = f"(7, 's', 'u', 'box', 'i', 10, {columns})"
    database.execute(f"INSERT INTO sandboxes VALUES {sandbox}")  # noqa: S608  (the test's own)
    database.execute("UPDATE clock SET seconds_advanced = 3.5")
    database.commit()
    database.close()
    for _ in range(2):
        store = Store(tmp_path / "state")
        assert store.sandboxes("u") == [expected]
        assert store.seconds_advanced() == 3.5
        store.close()
    store = Store(tmp_path / "state")
    assert plans(store, QUESTIONS["the sandboxes of a user"])[0].startswith("SEARCH")
    assert_users_are_listed_without_sorting(store)
    with pytest.raises(AlreadyExists):
        store.add_sandbox(replace(expected, id="s2"))
    store.delete_user("u")
    assert store.ids_with_files() == []
    store.close()


def test_the_state_of_version_2_is_taken_over(tmp_path: Path) -> None:
    Store(tmp_path / "state").close()
    database = sqlite3.connect(tmp_path / "state")
    database.executescript("DROP TABLE kept_files; PRAGMA user_version = 2;")
    database.close()
    for _ in range(2):
        store = Store(tmp_path / "state")
        store.keep_files("user-alice", SANDBOX)
        assert store.kept_id("user-alice", "box") == SANDBOX.id
        store.close()


def test_a_transaction_is_kept_whole_or_not_at_all() -> None:
    store = Store()
    store.add_user(USER)
    with pytest.raises(AlreadyExists), store.transaction():  # noqa: PT012  (the subject)
        store.delete_user(USER.id)
        store.add_user(replace(USER, id="u2"))
        store.add_user(replace(USER, id="u3"))
    assert store.users() == [USER]
    store.close()


def test_a_key_is_never_kept_in_clear(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    app = create_app(admin_key="an-admin-key", store=store, runtime=ScriptedRuntime())
    key = app.state.fake.add_user("alice")
    store.close()
    kept = (tmp_path / "state").read_bytes()
    assert b"alice" in kept
    assert key[:12].encode() in kept  # the prefix that a list shows
    assert key[12:].encode() not in kept
    assert b"an-admin-key" not in kept


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
    resumed = replace(SANDBOX, had_service=not SANDBOX.had_service)
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


def test_rows_are_cached_in_bounded_memory() -> None:
    store = Store()
    store.add_user(USER)
    store.add_key(KEY, b"hash")
    for number in range(2500):
        store.add_sandbox(replace(SANDBOX, id=str(number), name=f"n{number}"))
    asked: list[str] = []
    store._db.set_trace_callback(asked.append)  # pyright: ignore[reportPrivateUsage]  # its queries are the subject
    for number in range(2500):
        for _ in range(3):
            assert store.sandbox("u1", f"n{number}") is not None
    assert 2500 <= len(asked) < 2510
    assert len(store._cache.sandboxes) <= 1000  # pyright: ignore[reportPrivateUsage]  # as is its cache
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


def test_the_uses_of_keys_are_on_disk_within_a_second_and_at_the_end(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "state"), Store(tmp_path / "state")
    store.add_user(USER)
    store.add_key(KEY, b"hash")

    def written() -> list[datetime | None]:
        return [key.last_used_at for key in other.keys("u1")]

    first, second, third = (NOW + timedelta(seconds=seconds) for seconds in (0, 0.9, 1))
    store.note_use("k1", first)
    assert written() == [first]
    store.note_use("k1", second)
    assert written() == [first]
    store.note_use("k1", third)
    assert written() == [third]
    last = third + timedelta(seconds=0.5)
    store.note_use("k1", last)
    store.close()
    store.close()
    assert written() == [last]
    other.close()


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_text("this is no database, and it is long enough to be looked at as one" * 20)
    with pytest.raises(StoreUnusable, match=str(file)):
        Store(file)


def test_the_state_of_another_version_is_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "state")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreUnusable, match="version 99, expected 3"):
        Store(tmp_path / "state")
