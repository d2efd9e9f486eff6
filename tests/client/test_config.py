"""Loading and validating the configuration: values, sources, and error messages."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client import Config, ConfigError
from sandbox_client.config import (
    CERTIFICATES_VARIABLE,
    CONFIG_VARIABLE,
    DEFAULT_PATH,
    DEFAULT_PORT,
    VARIABLES,
    config_path,
    load_config,
)
from sandbox_client.presentation.errors import next_step

from tests.client.secrecy import chained_text, format_verb, shown_text
from tests.client.strategies import any_json, many_examples, text_around_key
from tests.client.stubs import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

URL = "http://127.0.0.1:8080"
FILE_URL = "https://file.test"
OTHER_KEY = "sk_live_ffffffffffffffffffffffffffffffff"


def write(home: Path, content: object, *, mode: int = 0o600) -> Path:
    """Write the file at the default path: bytes unchanged, any other content as JSON."""
    path = home / ".config" / "gemini-remote-sandbox" / "config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(mode)
    return path


def environ(home: Path, **variables: str) -> dict[str, str]:
    return {"HOME": str(home)} | {
        f"REMOTE_SANDBOX_{name}": value for name, value in variables.items()
    }


def failure(environ: Mapping[str, str]) -> ConfigError:
    """Return the error of an invalid configuration; check that it has advice and hides the key."""
    with pytest.raises(ConfigError) as caught:
        load_config(environ)
    assert KEY not in shown_text(caught.value)
    assert next_step(caught.value, format_verb), "an error without advice"
    return caught.value


def test_the_file_at_the_default_path_is_read(home: Path) -> None:
    write(
        home,
        {"proxyUrl": URL, "apiKey": KEY, "defaultImage": "aio:1", "defaultPort": 9000},
    )

    assert load_config(environ(home)) == Config(URL, KEY, "aio:1", 9000)


def test_two_variables_need_no_file(home: Path) -> None:
    config = load_config(environ(home, PROXY_URL=URL, API_KEY=KEY))

    assert config == Config(URL, KEY, None, 8888)


def test_variables_override_the_file(home: Path) -> None:
    write(
        home,
        {"proxyUrl": FILE_URL, "apiKey": OTHER_KEY, "defaultImage": "old", "defaultPort": 1},
    )

    config = load_config(
        environ(home, PROXY_URL=URL, API_KEY=KEY, DEFAULT_IMAGE="aio:1", DEFAULT_PORT="9000")
    )

    assert config == Config(URL, KEY, "aio:1", 9000)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PROXY_URL", URL, Config(URL, KEY, "old", 1)),
        ("API_KEY", OTHER_KEY, Config(FILE_URL, OTHER_KEY, "old", 1)),
        ("DEFAULT_IMAGE", "new", Config(FILE_URL, KEY, "new", 1)),
        ("DEFAULT_PORT", "2", Config(FILE_URL, KEY, "old", 2)),
    ],
    ids=["proxyUrl", "apiKey", "defaultImage", "defaultPort"],
)
def test_each_variable_overrides_only_its_own_field(
    home: Path, variable: str, value: str, expected: Config
) -> None:
    write(home, {"proxyUrl": FILE_URL, "apiKey": KEY, "defaultImage": "old", "defaultPort": 1})

    assert load_config(environ(home, **{variable: value})) == expected


@pytest.mark.parametrize(
    "unset",
    ["", " ", "\t\n", "${%s}", " ${%s} ", "${user_config.api_key}", "${%s:-}", "${}"],
    ids=repr,
)
def test_a_blank_variable_or_an_unexpanded_reference_counts_as_unset(
    home: Path, unset: str
) -> None:
    write(
        home,
        {
            "proxyUrl": FILE_URL,
            "apiKey": KEY,
            "defaultImage": "old",
            "defaultPort": 1,
            "agentCommand": "agent {prompt}",
        },
    )
    names = [CONFIG_VARIABLE, CERTIFICATES_VARIABLE, *VARIABLES.values()]

    config = load_config({"HOME": str(home)} | {name: unset.replace("%s", name) for name in names})

    assert config == Config(FILE_URL, KEY, "old", 1, "agent {prompt}", None)


@pytest.mark.parametrize(
    "names",
    [["MODEL_KEY", "MISSING", "MODEL_KEY"], "MODEL_KEY,MISSING", " MODEL_KEY  MISSING "],
    ids=repr,
)
def test_the_variables_of_an_agent_are_read_where_they_are_set(home: Path, names: object) -> None:
    write(home, {"proxyUrl": URL, "apiKey": KEY, "agentEnvironment": names})

    config = load_config(environ(home) | {"MODEL_KEY": " secret value ", "OTHER": "x"})

    assert config.agent_environment == ("MODEL_KEY", "MISSING")
    assert config.agent_values == {"MODEL_KEY": " secret value "}
    assert config.unset_agent_variables == ("MISSING",)
    assert "secret value" not in repr(config)


@pytest.mark.parametrize("unset", ["", " ", "${MODEL_KEY}"], ids=repr)
def test_a_variable_of_an_agent_without_a_value_counts_as_unset(home: Path, unset: str) -> None:
    variables = environ(home, PROXY_URL=URL, API_KEY=KEY, AGENT_ENVIRONMENT="MODEL_KEY")

    config = load_config(variables | {"MODEL_KEY": unset})

    assert config.unset_agent_variables == ("MODEL_KEY",)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (7, "agentEnvironment is a number"),
        ({"MODEL_KEY": KEY}, "agentEnvironment is an object"),
        (["MODEL_KEY", KEY + "-x"], "agentEnvironment holds something other than names"),
        (["MODEL_KEY=a secret value"], "agentEnvironment holds something other than names"),
        ([7], "agentEnvironment holds something other than names"),
        (["REMOTE_SANDBOX_API_KEY"], "the key of all your sandboxes"),
    ],
    ids=repr,
)
def test_what_cannot_be_given_to_an_agent_is_refused_without_its_value(
    home: Path, names: object, problem: str
) -> None:
    write(home, {"proxyUrl": URL, "apiKey": KEY, "agentEnvironment": names})

    error = failure(environ(home))

    assert problem in error.message
    assert "a secret value" not in shown_text(error)


@pytest.mark.parametrize("value", ["a${B}", "${A}${B}", "$A", "${A"])
def test_a_value_that_only_contains_a_reference_is_a_value(home: Path, value: str) -> None:
    config = load_config(environ(home, PROXY_URL=URL, API_KEY=KEY, DEFAULT_IMAGE=value))

    assert config.default_image == value


@pytest.mark.parametrize("blank", ["", "   ", None], ids=repr)
@pytest.mark.parametrize("field", ["defaultImage", "defaultPort"])
def test_a_blank_optional_field_counts_as_unset(home: Path, field: str, blank: str | None) -> None:
    write(home, {"proxyUrl": URL, "apiKey": KEY, field: blank})

    assert load_config(environ(home)) == Config(URL, KEY, None, 8888)


def test_spaces_around_a_value_are_not_part_of_it(home: Path) -> None:
    config = load_config(
        environ(home, PROXY_URL=f" {URL}\n", API_KEY=f"{KEY}\n", DEFAULT_PORT=" 80 ")
    )

    assert config == Config(URL, KEY, None, 80)


@pytest.mark.parametrize("named", ["~/other.json", "{home}/other.json"])
def test_another_file_can_be_named(home: Path, named: str) -> None:
    write(home, {"proxyUrl": FILE_URL, "apiKey": OTHER_KEY})
    other = write(home, {"proxyUrl": URL, "apiKey": KEY}).rename(home / "other.json")
    assert other.exists()

    assert load_config(environ(home, CONFIG=named.format(home=home))) == Config(URL, KEY)


def test_no_other_environment_than_the_argument_is_read(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, {"proxyUrl": URL, "apiKey": KEY})
    write(home, {"proxyUrl": FILE_URL, "apiKey": OTHER_KEY})
    monkeypatch.setenv("REMOTE_SANDBOX_API_KEY", OTHER_KEY)

    assert load_config({"HOME": str(elsewhere)}) == Config(URL, KEY)


def test_without_home_the_home_directory_comes_from_the_password_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # `sandbox-fakeproxy` and the shell lines that it prints find it in the same way.
    monkeypatch.setattr(os, "getuid", lambda: 0)  # the user of this process may have no entry
    folder = Path(pwd.getpwuid(0).pw_dir)

    assert config_path({}) == folder / ".config/gemini-remote-sandbox/config.json"


def test_an_unknown_user_has_the_root_directory_as_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)

    assert config_path({}) == Path("/.config/gemini-remote-sandbox/config.json")


@pytest.mark.parametrize(("value", "kept"), [("/ca.pem", "/ca.pem"), ("", None), (" ", None)])
def test_the_certificates_of_a_private_authority_are_taken_from_their_variable(
    home: Path, value: str, kept: str | None
) -> None:
    config = load_config(environ(home, PROXY_URL=URL, API_KEY=KEY) | {"SSL_CERT_FILE": value})

    assert config.certificates == kept


def test_a_named_file_must_exist_even_if_the_variables_are_complete(home: Path) -> None:
    error = failure(environ(home, CONFIG="~/typo.json", PROXY_URL=URL, API_KEY=KEY))

    assert str(home / "typo.json") in error.message


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080///", "http://127.0.0.1:8080"),
        ("https://proxy.test/a/b", "https://proxy.test/a/b"),
        ("https://proxy.test/a/b/", "https://proxy.test/a/b"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_a_trailing_slash_and_a_path_prefix_both_work(home: Path, written: str, kept: str) -> None:
    assert load_config(environ(home, PROXY_URL=written, API_KEY=KEY)).proxy_url == kept


def test_a_config_does_not_change_and_does_not_show_its_key() -> None:
    config = Config(URL, KEY)

    assert KEY not in repr(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.api_key = "x"  # type: ignore[misc]  # the assignment is under test


def test_the_template_is_refused_for_its_placeholder_key_only(home: Path) -> None:
    template = Path(__file__).parents[2] / "config.template.json"
    path = write(home, template.read_bytes())

    error = failure(environ(home))

    assert error.message == f"apiKey is still the placeholder of config.template.json in {path}"
    assert load_config(environ(home, API_KEY=KEY)) == Config(URL, KEY)


def test_a_missing_file_is_named_with_the_required_fields(home: Path) -> None:
    error = failure(environ(home))

    assert f"{home}/.config/gemini-remote-sandbox/config.json" in error.message
    for word in ("proxyUrl", "apiKey", "REMOTE_SANDBOX_PROXY_URL", "REMOTE_SANDBOX_API_KEY"):
        assert word in error.advice


@pytest.mark.parametrize("field", ["proxyUrl", "apiKey"])
@pytest.mark.parametrize("content", [{}, {"{field}": ""}, {"{field}": None}, {"{field}": "  "}])
def test_a_missing_required_field_is_named_with_its_file(
    home: Path, field: str, content: dict[str, object]
) -> None:
    other = {"proxyUrl": URL, "apiKey": KEY}
    del other[field]
    path = write(home, other | {name.format(field=field): v for name, v in content.items()})

    assert failure(environ(home)).message == f"{field} is required in {path}"


def test_a_field_in_the_wrong_case_is_named(home: Path) -> None:
    path = write(home, {"proxyURL": URL, "apiKey": KEY})

    message = failure(environ(home)).message

    assert message.startswith(f"proxyUrl is required in {path}")
    assert "'proxyURL'" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1, column 1"),
        (b'{"apiKey": "%s",\n  "proxyUrl" 1}' % KEY.encode(), "line 2, column 14"),
        (b'{"apiKey": "%s' % KEY.encode(), "line 1, column 12"),
        (b'{"apiKey": "%s"}\n\n garbage' % KEY.encode(), "line 3, column 2"),
    ],
    ids=["empty", "missing colon", "truncated", "trailing text"],
)
def test_invalid_json_is_located_by_line_and_column(home: Path, content: bytes, words: str) -> None:
    path = write(home, content)

    message = failure(environ(home)).message

    assert message.startswith(f"{path} is not JSON")
    assert words in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff" + KEY.encode(), "is not UTF-8 text"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"defaultPort": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"[]", "holds an array, not a JSON object"),
        (b"null", "holds null, not a JSON object"),
        (f'"{KEY}"'.encode(), f"holds a string of {len(KEY)} characters, not a JSON object"),
        (b" " * (1024 * 1024 + 1), "is larger than"),
    ],
    ids=["not UTF-8", "too deep", "huge number", "array", "null", "string", "too large"],
)
def test_a_file_that_is_not_a_json_object_is_described(
    home: Path, content: bytes, words: str
) -> None:
    path = write(home, content)

    assert failure(environ(home)).message.startswith(f"{path} {words}")


def test_a_byte_order_mark_is_accepted(home: Path) -> None:
    write(home, b"\xef\xbb\xbf" + json.dumps({"proxyUrl": URL, "apiKey": KEY}).encode())

    assert load_config(environ(home)) == Config(URL, KEY)


@pytest.mark.parametrize(
    ("field", "value", "shape"),
    [
        ("proxyUrl", 8080, "a number"),
        ("proxyUrl", [URL], "an array"),
        ("proxyUrl", {"host": "x"}, "an object"),
        ("apiKey", 12345678, "a number"),
        ("apiKey", True, "true"),
        ("apiKey", [KEY], "an array"),
        ("defaultImage", 1, "a number"),
        ("defaultImage", False, "false"),
        ("defaultPort", "http", "a string of 4 characters"),
        ("defaultPort", "-1", "a string of 2 characters"),
        ("defaultPort", "x", "a string of 1 character"),
        ("defaultPort", 0, "a number out of range"),
        ("defaultPort", 65536, "a number out of range"),
        ("defaultPort", True, "true"),
        ("defaultPort", 80.5, "a fraction"),
        ("defaultPort", [], "an array"),
        ("workspaces", "~/src", "a string of 5 characters"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_by_field_type_and_file(
    home: Path, field: str, value: object, shape: str
) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": KEY, field: value})

    message = failure(environ(home)).message

    assert message == f"{field} is {shape} in {path}"


def test_workspaces_are_a_list_of_strings(home: Path) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": KEY, "workspaces": ["~/src", " ", "/work"]})
    assert load_config(environ(home)).workspaces == ("~/src", "/work")

    write(home, {"proxyUrl": URL, "apiKey": KEY, "workspaces": ["~/src", 1]})
    assert failure(environ(home)).message == f"workspaces[1] is a number in {path}"


def test_an_invalid_variable_is_named(home: Path) -> None:
    write(home, {"proxyUrl": URL, "apiKey": KEY})

    message = failure(environ(home, DEFAULT_PORT="many")).message

    assert message.startswith("defaultPort is a string of 4 characters")
    assert message.endswith("in the environment variable REMOTE_SANDBOX_DEFAULT_PORT")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8080", "without http:// or https://"),
        ("localhost", "without http:// or https://"),
        ("//proxy.test", "without http:// or https://"),
        ("ftp://proxy.test", "without http:// or https://"),
        ("http://", "without http:// or https:// and a host"),
        ("http:///path", "without http:// or https:// and a host"),
        ("http://host:port", "is not a URL"),
        ("http://host:99999", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://proxy.test?a=1", "query or fragment"),
        ("http://proxy.test#a", "query or fragment"),
        ("http://pro xy.test", "holds a space"),
        ("http://pröxy.test", "outside ASCII"),
        ("http://proxy\x00.test", "cannot be sent"),
        ("http://user:hunter2@proxy.test", "user name or password"),
        ("https://proxy.test/SK_LIVE_0123", "looks like an API key"),
    ],
)
def test_an_invalid_url_is_refused(home: Path, url: str, words: str) -> None:
    path = write(home, {"proxyUrl": url, "apiKey": KEY})

    error = failure(environ(home))

    assert error.message.startswith("proxyUrl ")
    assert words in error.message
    assert str(path) in error.message
    assert "hunter2" not in shown_text(error)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("admin-0123456789", "has 16 characters and does not start with sk_live_"),
        ("Bearer " + KEY, "does not start with sk_live_"),
        ("SK_LIVE_" + KEY[8:], "does not start with sk_live_"),
        ("sk_live_YOUR_API_KEY_HERE", "is still the placeholder"),
        ("your_api_key", "is still the placeholder"),
        (KEY[:20] + " " + KEY[20:], "holds a space"),
        (KEY + "é", "outside ASCII"),
        (KEY + "\x00", "cannot be sent"),
        (KEY + "\nX", "cannot be sent"),
    ],
    ids=ascii,
)
def test_an_invalid_key_is_refused_and_not_shown(home: Path, key: str, words: str) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": key})

    error = failure(environ(home))

    assert error.message.startswith("apiKey ")
    assert words in error.message
    assert str(path) in error.message
    if "YOUR_API_KEY" not in key.upper():
        assert key not in shown_text(error)


def warnings_of(environ: Mapping[str, str]) -> list[str]:
    """Load the configuration and return its warnings."""
    warnings: list[str] = []
    load_config(environ, warn=warnings.append)
    return warnings


@pytest.mark.parametrize(
    ("mode", "access"),
    [
        (0o644, "read it"),
        (0o640, "read it"),
        (0o604, "read it"),
        (0o620, "change it"),
        (0o602, "change it"),
        (0o664, "read and change it"),
    ],
)
def test_a_key_file_with_access_for_others_is_used_with_a_warning(
    home: Path, mode: int, access: str
) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": KEY}, mode=mode)

    assert load_config(environ(home)) == Config(URL, KEY)
    (warning,) = warnings_of(environ(home))
    assert f"{path} holds apiKey and has mode {mode:04o}: others on this machine can" in warning
    assert warning.endswith(f" can {access}. Make it private: chmod 600 {path}")


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_private_file_has_no_warning(home: Path, mode: int) -> None:
    write(home, {"proxyUrl": URL, "apiKey": KEY}, mode=mode)

    assert load_config(environ(home)) == Config(URL, KEY)
    assert warnings_of(environ(home)) == []


def test_a_public_file_without_a_key_has_no_warning(home: Path) -> None:
    write(home, {"proxyUrl": URL}, mode=0o644)

    assert warnings_of(environ(home, API_KEY=KEY)) == []


def test_a_directory_is_refused(home: Path) -> None:
    assert failure(environ(home, CONFIG="~/")).message == f"{home} is not a file"


@pytest.mark.timeout(5)
def test_a_pipe_is_refused_without_reading_it(home: Path) -> None:
    os.mkfifo(home / "pipe")

    assert failure(environ(home, CONFIG="~/pipe")).message == f"{home / 'pipe'} is not a file"


@pytest.mark.parametrize(
    "path",
    ["/dev/null/config.json", "/" + "a" * 300, "/nul\x00byte", "~/loop"],
    ids=["below a file", "name too long", "NUL byte", "loop of links"],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(home: Path, path: str) -> None:
    (home / "loop").symlink_to(home / "loop")

    message = failure(environ(home, CONFIG=path)).message

    assert " cannot be read: " in message
    assert path.removeprefix("~") in message


def test_a_file_without_permission_is_named_with_the_reason(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": KEY})

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)  # root may read all files, and tests may run as root

    error = failure(environ(home))

    assert error.message == f"{path} cannot be read: Permission denied"
    assert f"chmod 600 {path}" in error.advice


@pytest.mark.parametrize("variable", ["CONFIG", "PROXY_URL", "DEFAULT_PORT"])
def test_a_key_in_the_wrong_variable_is_not_shown(home: Path, variable: str) -> None:
    failure(environ(home, **({"PROXY_URL": URL, "API_KEY": OTHER_KEY} | {variable: KEY})))


@pytest.mark.parametrize(
    "content",
    [b'{"apiKey": "%s' % KEY.encode(), b"\xff%s" % KEY.encode(), b'["%s"]' % KEY.encode()],
    ids=["not JSON", "not UTF-8", "not an object"],
)
def test_no_cause_of_an_error_holds_the_key(home: Path, content: bytes) -> None:
    write(home, content)

    assert KEY not in chained_text(failure(environ(home)))


def _outcome(environ: Mapping[str, str]) -> str:
    """Return the text of the configuration or of its ConfigError; other exceptions propagate."""
    try:
        config = load_config(environ)
    except ConfigError as error:
        return shown_text(error)
    assert config.proxy_url.startswith(("http://", "https://"))
    assert config.api_key.startswith("sk_live_")
    assert 1 <= config.default_port <= 65535
    return repr(dataclasses.replace(config, default_image=None))


_objects = st.dictionaries(
    st.sampled_from(["proxyUrl", "apiKey", "defaultImage", "defaultPort", "ApiKey"]),
    st.one_of(any_json, st.just(URL), st.just(KEY)),
)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory that all examples of a test share."""
    return tmp_path_factory.mktemp("home")


@many_examples
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.one_of(_objects, any_json).map(json.dumps).map(str.encode),
        st.tuples(st.binary(), st.just(KEY.encode()), st.binary()).map(b"".join),
    )
)
@example(content=b'{"apiKey": "\\ud800", "proxyUrl": "http://a"}')
def test_any_bytes_in_the_file_are_a_config_or_a_config_error(
    shared_home: Path, content: bytes
) -> None:
    write(shared_home, content)

    text = _outcome(environ(shared_home))

    assert KEY not in text
    text.encode()  # raises for text that cannot be printed or sent


# Values that an environment can hold: no NUL, and invalid UTF-8 as lone surrogates.
_clean = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
_values = st.one_of(
    _clean,
    st.binary(max_size=20).map(lambda raw: os.fsdecode(raw.replace(b"\x00", b""))),
    st.sampled_from([URL, KEY, "http://[", "8888", "~", "~/", ".", "/", "/dev/null", " ", "²"]),
    st.builds(text_around_key, _clean, _clean),
)


@many_examples
@given(
    values=st.dictionaries(
        st.sampled_from(
            [
                "HOME",
                *(
                    f"REMOTE_SANDBOX_{name}"
                    for name in ("CONFIG", "PROXY_URL", "API_KEY", "DEFAULT_IMAGE", "DEFAULT_PORT")
                ),
            ]
        ),
        _values,
    )
)
@example(values={"REMOTE_SANDBOX_CONFIG": "/\udcff.json"})
def test_any_environment_is_a_config_or_a_config_error(values: dict[str, str]) -> None:
    text = _outcome({"HOME": "/nonexistent"} | values)

    assert KEY not in text
    text.encode()  # raises for text that cannot be printed or sent


def test_the_default_path_and_port() -> None:
    assert DEFAULT_PATH == "~/.config/gemini-remote-sandbox/config.json"
    assert DEFAULT_PORT == 8888


def test_reading_the_file_does_not_change_it(home: Path) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": KEY})
    before = (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))

    load_config(environ(home))

    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == before
