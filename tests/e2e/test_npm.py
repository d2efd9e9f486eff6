"""The installation of npm programs for the end-to-end tests, and its errors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e import npm
from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

PROGRAM = npm.Program("@example/greeter", "1.2.3", "greet")

# A fake npm, completed by one of the scripts below: it records its arguments in the file `runs`.
FAKE_NPM = """
const fs = require("node:fs"), path = require("node:path");
const folder = process.argv[process.argv.indexOf("--prefix") + 1];
fs.appendFileSync(path.join(__dirname, "runs"), process.argv.slice(2).join(" ") + "\\n");
fs.mkdirSync(path.join(folder, "node_modules", ".bin"), { recursive: true });
"""
INSTALL_PROGRAM = (
    'fs.writeFileSync(path.join(folder, "node_modules/.bin/greet"), "console.log(7)");'
)
FAIL = 'console.log("the network went away"); process.exit(3);'

# A pytest plugin that replaces the cache folder with an empty one.
EMPTY_CACHE_PLUGIN = """
from pathlib import Path

def pytest_configure() -> None:
    from tests.e2e import npm
    npm.CACHE = Path(__file__).parent / "cache"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; npm has no settings other than those of the test."""
    for variable in [name for name in os.environ if name.lower().startswith("npm_config_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(npm, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def closed_url() -> Generator[str]:
    """The URL of a port that is reserved but refuses connections."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}/"


def replace_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace npm by a fake one, and return the file with a line for each run of it."""
    fake_npm = folder / "npm.js"
    fake_npm.write_text(FAKE_NPM + script)
    monkeypatch.setattr(npm, "NPM", fake_npm)
    return folder / "runs"


def without_registry(home: Path, closed_url: str) -> dict[str, str]:
    """Return an environment in which npm and pip cannot reach a registry."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "npm_config_registry": closed_url,
        "npm_config_fetch_retries": "0",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": closed_url,
        "PIP_RETRIES": "0",
    }


def test_a_program_is_installed_once_and_runs(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = replace_npm(tmp_path, INSTALL_PROGRAM, monkeypatch)
    for _ in range(2):
        output = subprocess.run(
            PROGRAM.command(), capture_output=True, text=True, check=True
        ).stdout
        assert output == "7\n"
    assert [path.name for path in cache.iterdir()] == ["greeter-1.2.3"]
    (words,) = runs.read_text().splitlines()
    assert words.startswith("install @example/greeter@1.2.3 ")
    assert {"--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"} <= set(
        words.split()
    )


def test_a_failed_install_leaves_nothing_behind_and_is_repeated(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = replace_npm(tmp_path, FAIL, monkeypatch)
    with pytest.raises(npm.NotInstalled, match=r"greeter@1\.2\.3.*code 3:\nthe network went away"):
        PROGRAM.command()
    assert list(cache.iterdir()) == []
    replace_npm(tmp_path, INSTALL_PROGRAM, monkeypatch)
    PROGRAM.command()
    assert len(runs.read_text().splitlines()) == 2


def test_a_package_without_the_command_is_not_installed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_npm(tmp_path, "", monkeypatch)
    with pytest.raises(npm.NotInstalled, match="has no command 'greet'"):
        PROGRAM.command()
    assert list(cache.iterdir()) == []


def test_an_npm_that_hangs_is_killed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_npm(tmp_path, "setInterval(() => {}, 1000);", monkeypatch)
    monkeypatch.setattr(npm, "DEADLINE", 1.0)
    with pytest.raises(npm.NotInstalled, match=r"greeter@1\.2\.3.*took over 1 seconds"):
        PROGRAM.command()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("name", ["npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG"])
def test_npm_reads_the_global_settings_that_the_environment_names(
    cache: Path, tmp_path: Path, closed_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings = tmp_path / "npmrc"
    settings.write_text(f"registry={closed_url}\nfetch-retries=0\n")
    monkeypatch.setenv(name, str(settings))
    with pytest.raises(npm.NotInstalled, match="ECONNREFUSED"):
        PROGRAM.command()


def test_npm_reads_the_global_settings_beside_the_machines_node(
    cache: Path, tmp_path: Path, closed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "node").touch(mode=0o755)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "npmrc").write_text(f"registry={closed_url}\nfetch-retries=0\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(npm.NotInstalled, match="ECONNREFUSED"):
        PROGRAM.command()


def test_make_e2e_installs_first_and_names_each_program_that_npm_cannot_install(
    cache: Path, tmp_path: Path, closed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\t@$(RUN) tests.e2e.npm\n" in (ROOT / "Makefile").read_text()
    for name, value in without_registry(tmp_path, closed_url).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as failed:
        npm.main()
    for program in (npm.GEMINI_CLI, npm.INSPECTOR, npm.CONFORMANCE):
        assert f"npm could not install {program.pin}, " in str(failed.value.code)


@pytest.mark.parametrize(
    ("module", "program"),
    [("test_inspector.py", npm.INSPECTOR), ("test_conformance.py", npm.CONFORMANCE)],
)
def test_tests_of_a_program_that_cannot_be_installed_fail_and_name_it(
    tmp_path: Path, closed_url: str, module: str, program: npm.Program
) -> None:
    (tmp_path / "empty_cache_plugin.py").write_text(EMPTY_CACHE_PLUGIN)
    words = f"-m pytest -q -p no:cacheprovider -p empty_cache_plugin tests/e2e/{module}"
    done = subprocess.run(
        [sys.executable, *words.split()],
        check=False,
        cwd=ROOT,
        env=without_registry(tmp_path, closed_url) | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"npm could not install {program.pin}, " in done.stdout
    summary = done.stdout.splitlines()[-1]
    assert "failed" in summary
    assert "passed" not in summary
    assert "skipped" not in summary


def test_make_sdk_without_a_registry_fails_and_names_the_package(
    tmp_path: Path, closed_url: str
) -> None:
    done = subprocess.run(
        ["make", "sdk", f"SDK={tmp_path / 'sdk'}"],
        check=False,
        cwd=ROOT,
        env=without_registry(tmp_path, closed_url),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "agent-sandbox" in done.stderr
