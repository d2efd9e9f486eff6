"""A volume touches nothing outside its two directories, for any path and any links."""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_fakeproxy.runtime.files import match
from sandbox_fakeproxy.runtime.files.errors import FileError, FileRejected
from sandbox_fakeproxy.runtime.files.patterns import Glob
from sandbox_fakeproxy.runtime.files.search import search
from sandbox_fakeproxy.runtime.files.volume import Volume

from tests.fakeproxy.processes import TIMEOUT

SECRET = "nobody's but the host's"


@dataclass(frozen=True)
class Host:
    """A machine with a volume on it, and a file that is none of the volume's."""

    top: Path

    @property
    def sandbox(self) -> Path:
        return self.top / "box" / "sandbox"

    @property
    def home(self) -> Path:
        return self.top / "box" / "home"

    @property
    def roots(self) -> dict[str, Path]:
        return {"/sandbox": self.sandbox, "/home/gem": self.home}

    @property
    def volume(self) -> Volume:
        return Volume(self.roots)

    def outside(self) -> dict[str, object]:
        """Return all there is outside of the volume, to be compared."""
        found: dict[str, object] = {}
        for parent, directories, files in os.walk(self.top):
            place = Path(parent)
            directories[:] = [n for n in directories if place / n not in {self.sandbox, self.home}]
            found[parent] = sorted(directories + files)
            found |= {str(place / name): (place / name).read_text() for name in files}
        return found


@contextmanager
def a_host() -> Generator[Host]:
    with tempfile.TemporaryDirectory(prefix="volume-") as directory:
        host = Host(Path(directory).resolve())
        for place in (host.sandbox, host.home, host.top / "elsewhere"):
            place.mkdir(parents=True)
        (host.top / "secret").write_text(SECRET)
        (host.top / "elsewhere" / "f").write_text(SECRET)
        (host.top / "box" / "f").write_text(SECRET)
        yield host


@pytest.fixture
def host() -> Generator[Host]:
    with a_host() as made:
        yield made


NAMES = st.sampled_from(["a", "b", "c", "f", "sandbox", "home", "gem"])
STEPS = st.one_of(NAMES, st.sampled_from([".", "..", "", "..", "../..", "elsewhere", "secret"]))
RELATIVE = st.lists(STEPS, min_size=1, max_size=6).map("/".join)
# `TOP` stands for where the host keeps it all, as a command in the sandbox would know.
BEGINNINGS = ["/", "/sandbox/", "/home/gem/", "/sandbox/../", "TOP/", "TOP/box/sandbox/", ""]
PATHS = st.builds(str.__add__, st.sampled_from(BEGINNINGS), RELATIVE)
TARGETS = RELATIVE.filter(lambda target: target and not target.endswith(("/", "/.")))
LINKS = st.dictionaries(NAMES, PATHS, max_size=5)


@settings(max_examples=100, deadline=None)  # a slow disk is no defect
@given(sandbox_links=LINKS, home_links=LINKS, paths=st.lists(PATHS, min_size=1, max_size=5))
def test_nothing_outside_is_ever_read_or_changed(
    sandbox_links: dict[str, str], home_links: dict[str, str], paths: list[str]
) -> None:
    with a_host() as host:
        for place, links in ((host.sandbox, sandbox_links), (host.home, home_links)):
            for name, target in links.items():
                (place / name).symlink_to(target.replace("TOP", str(host.top)) or ".")
        before = host.outside()
        for path in paths:
            asked = path.replace("TOP", str(host.top))
            assert SECRET not in everything(host.volume, asked)
        assert host.outside() == before


def everything(volume: Volume, path: str) -> str:
    """Do all there is to do with a path; return all that was told."""
    told: list[str] = []
    attempts: list[Callable[[], str]] = [
        lambda: volume.read(path),
        lambda: volume.open(path).read(100).decode(errors="replace"),
        lambda: str([(each.path, each.status.st_size) for each in volume.list_directory(path)[0]]),
        lambda: str(volume.list_directory(path, depth=None)[0]),
        lambda: str(volume.find(path, Glob("**/*"))),
        lambda: str(volume.replace(path, "e", "E")),
        lambda: str(volume.write(path, b"written")),
        lambda: str(volume.write(f"{path}/below", b"written", append=True)),
    ]
    for attempt in attempts:
        try:
            told.append(attempt())
        except FileError as exc:
            told.append(exc.message)
    assert "/elsewhere/f" not in told
    return "\n".join(told)


@settings(max_examples=100, deadline=None)  # ditto
@given(links=st.dictionaries(NAMES, TARGETS, max_size=5), path=RELATIVE)
def test_a_read_returns_what_the_kernel_would_read(links: dict[str, str], path: str) -> None:
    with a_host() as host:
        for name, target in links.items():
            (host.sandbox / name).symlink_to(target)
        for name in {"a", "b", "c"} - set(links):
            (host.sandbox / name).mkdir()
            (host.sandbox / name / "f").write_text(f"in {name}")
        expected = kernel_reads(f"{host.sandbox}/{path}")
        try:
            assert host.volume.read(f"/sandbox/{path}") == expected
        except FileError:
            climbs = ".." in path or any(".." in target for target in links.values())
            assert expected is None or climbs, "only a way that may lead out is refused"


def kernel_reads(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  (a Path drops what is odd)
            return file.read()
    except OSError:
        return None


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("f", "mine"),
        ("./f", "mine"),
        ("../sandbox/f", "mine"),
        ("/sandbox/f", "mine"),
        ("/home/gem/g", "at home"),
        ("../home/gem/g", "at home"),
        ("../../home/gem/../gem/g", "at home"),
        ("/sandbox/../home/gem/g", "at home"),
        ("d/../f", "mine"),
        ("to-f", "mine"),
        ("HOME/g", "at home"),
    ],
)
def test_a_link_inside_is_followed(host: Host, target: str, content: str) -> None:
    (host.sandbox / "f").write_text("mine")
    (host.sandbox / "d").mkdir()
    (host.home / "g").write_text("at home")
    (host.sandbox / "to-f").symlink_to("f")
    (host.sandbox / "link").symlink_to(target.replace("HOME", str(host.home)))
    assert host.volume.read("/sandbox/link") == content


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../secret", "/", "..", "TOP/secret", "TOP/box/f", "/home/other/x"]
)
def test_a_link_that_leads_out_is_refused(host: Host, target: str) -> None:
    (host.sandbox / "link").symlink_to(target.replace("TOP", str(host.top)))
    for path in ("/sandbox/link", "/sandbox/link/f"):
        with pytest.raises(FileError) as caught:
            host.volume.read(path)
        assert caught.value.error_type == "permission_denied"
        with pytest.raises(FileError) as caught:
            host.volume.write(path, b"")
        assert caught.value.error_type == "permission_denied"


def test_a_write_through_a_dangling_link_creates_its_target(host: Host) -> None:
    (host.sandbox / "link").symlink_to("new/file")
    host.volume.write("/sandbox/link", b"x")
    assert (host.sandbox / "new" / "file").read_text() == "x"
    assert (host.sandbox / "link").is_symlink()


@pytest.mark.parametrize(
    ("path", "target"), [("/sandbox/name", "secret"), ("/sandbox/name/f", "elsewhere")]
)
def test_a_name_that_becomes_a_link_during_the_walk_is_not_followed(
    host: Host, monkeypatch: pytest.MonkeyPatch, path: str, target: str
) -> None:
    name = host.sandbox / "name"

    class Swapping:
        """The system's calls; once it was read that `name` is no link, it becomes one."""

        def __getattr__(self, call: str) -> object:
            return getattr(os, call)

        def readlink(self, read: str, *, dir_fd: int) -> str:
            try:
                return os.readlink(read, dir_fd=dir_fd)
            finally:
                if read == name.name:
                    name.symlink_to(host.top / target)

    for attempt in (lambda: host.volume.read(path), lambda: host.volume.write(path, b"written")):
        name.unlink(missing_ok=True)
        with monkeypatch.context() as patched:
            patched.setattr("sandbox_fakeproxy.runtime.files.confinement.os", Swapping())
            with pytest.raises(FileError) as caught:
                attempt()
        assert caught.value.error_type in {"invalid_target", "invalid_path"}
    assert (host.top / "secret").read_text() == SECRET


def test_a_directory_of_the_volumes_own_that_became_a_link_is_not_followed(host: Host) -> None:
    host.sandbox.rmdir()
    host.sandbox.symlink_to(host.top / "elsewhere")
    for path in ("/sandbox", "/sandbox/f"):
        told = everything(host.volume, path)
        assert SECRET not in told
        assert "'f'" not in told
    assert (host.top / "elsewhere" / "f").read_text() == SECRET


def test_a_file_that_was_opened_and_never_read_is_closed(host: Host) -> None:
    host.volume.write("/sandbox/f", b"x")
    file = host.volume.open("/sandbox/f")
    close = file.close
    del file
    assert not close.alive


def test_no_walk_leaves_anything_open(host: Host) -> None:
    descriptors = Path("/dev/fd")
    (host.sandbox / "loop").symlink_to("loop")
    before = len(list(descriptors.iterdir()))
    for path in ("/sandbox", "/sandbox/a/../b/f", "/sandbox/loop", "/etc", "/sandbox/../x", "x"):
        everything(host.volume, path)
    assert len(list(descriptors.iterdir())) == before


def test_a_pipe_does_not_block(host: Host) -> None:
    os.mkfifo(host.sandbox / "pipe")
    assert "device or a pipe" in everything(host.volume, "/sandbox/pipe")


@pytest.mark.parametrize("end", ["/", "/."])
def test_a_path_that_ends_as_a_directorys_opens_no_file(host: Host, end: str) -> None:
    host.volume.write("/sandbox/f", b"mine")
    with pytest.raises(FileError, match="Not a directory"):
        host.volume.read(f"/sandbox/f{end}")
    with pytest.raises(FileError, match="Is a directory"):
        host.volume.write(f"/sandbox/f{end}", b"another's")
    assert host.volume.read("/sandbox/f") == "mine"


def test_a_deep_path_needs_no_more_open_files_than_a_short_one(host: Host) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        write_and_list_a_deep_file(host)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def write_and_list_a_deep_file(host: Host) -> None:
    path = "/sandbox" + "/d" * 400
    host.volume.write(f"{path}/f", b"deep")
    assert host.volume.read(f"{path}/f") == "deep"
    assert len(host.volume.list_directory("/sandbox", depth=None)[0]) == 401


def test_an_expression_without_end_is_ended(host: Host) -> None:
    volume = Volume(host.roots, search_seconds=0.2)
    volume.write("/sandbox/f", b"a" * 40 + b"!")
    with pytest.raises(FileError, match="simplify the expression") as caught:
        volume.search("/sandbox/f", "(a+)+$")
    assert (caught.value.error_type, caught.value.retryable) == ("io_error", False)


def test_an_expression_without_end_is_ended_while_time_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = cast("Callable[..., subprocess.CompletedProcess[bytes]]", subprocess.run)

    def run_without_clock(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        options["timeout"] = None
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", run_without_clock)
    with pytest.raises(FileRejected, match=r"The search took more than 0\.5 s"):
        search("a" * 40, "(a+)+b", 0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its reader")
def test_a_search_ends_with_the_fake() -> None:
    asked = {"text": "a" * 40, "regex": "(a+)+b", "limit": 1, "seconds": 1000}
    program = subprocess.Popen(
        [sys.executable, "-I", "-S", match.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program.stdin as stdin:
        stdin.write(json.dumps(asked).encode())
    program.stdout.close()
    assert program.wait(TIMEOUT) in {-signal.SIGIO, 1}


def test_a_search_whose_process_dies_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    dying = [sys.executable, "-I", "-S", "-c", "raise MemoryError"]
    monkeypatch.setattr("sandbox_fakeproxy.runtime.files.search._PROGRAM", dying)
    with pytest.raises(FileRejected, match="simplify the expression"):
        search("a", "a", 30)


@pytest.mark.parametrize(("lines", "is_cut"), [(10_000, False), (10_001, True)])
def test_a_search_with_more_than_10_000_matches_is_cut(lines: int, is_cut: bool) -> None:
    found = search("x\n" * lines, "x", 30)
    assert (len(found.matches), found.truncated) == (10_000, is_cut)


def test_many_double_stars_take_no_time_to_speak_of(host: Host) -> None:
    host.volume.write("/sandbox" + "/d" * 100 + "/f", b"")
    glob = Glob("**/d/" * 30 + "nothing")
    assert host.volume.find("/sandbox", glob) == ([], False)
