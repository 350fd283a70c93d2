"""Data files: found in the user's folder, else downloaded and checked, else one message."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading

import pytest

from rk.errors import UserError
from rk.files import cache_folder, damaged, data_folder, fetch, is_intact

CONTENT = b"0,1,2\n"
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No test touches the user's own folders."""
    for name in ("RK_CACHE", "RK_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server(tmp_path):
    """Serves a folder with one file; returns its address."""
    pytest.importorskip("pooch")
    published = tmp_path / "published"
    published.mkdir()
    (published / "data.csv").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=published)) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


def test_folders_are_those_that_the_user_sets(tmp_path, monkeypatch):
    assert (cache_folder(), data_folder()) == (tmp_path / "cache" / "rk", tmp_path / "cache" / "rk" / "data")
    monkeypatch.setenv("RK_CACHE", str(tmp_path / "c"))
    assert data_folder() == tmp_path / "c" / "data"
    monkeypatch.setenv("RK_DATA", str(tmp_path / "d"))
    assert (cache_folder(), data_folder()) == (tmp_path / "c", tmp_path / "d")


def test_a_file_that_is_there_is_taken_and_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data.csv").write_text("mine")
    assert fetch("set/data.csv", "http://nowhere.invalid/data.csv", CHECKSUM).read_text() == "mine"


def test_a_missing_file_is_downloaded_once(server, tmp_path):
    path = fetch("set/data.csv", f"{server}/data.csv", CHECKSUM)
    assert path == data_folder() / "set" / "data.csv" and path.read_bytes() == CONTENT
    assert fetch("set/data.csv", "http://nowhere.invalid/data.csv", CHECKSUM) == path


def test_an_existing_file_is_verified_on_request(tmp_path, monkeypatch):
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    (tmp_path / "data.csv").write_bytes(CONTENT)
    assert fetch("data.csv", "http://nowhere.invalid/data.csv", CHECKSUM, verify=True).read_bytes() == CONTENT
    (tmp_path / "data.csv").write_text("mine")
    with pytest.raises(UserError, match="is not the published file"):
        fetch("data.csv", "http://nowhere.invalid/data.csv", CHECKSUM, verify=True)


@pytest.mark.parametrize(
    ("name", "checksum"), [("data.csv", "sha256:" + 64 * "0"), ("other.csv", CHECKSUM)], ids=["another", "none"]
)
def test_a_failed_download_is_reported_with_what_to_do_and_leaves_nothing(name, checksum, server):
    with pytest.raises(UserError, match="cannot be downloaded") as caught:
        fetch(f"set/{name}", f"{server}/{name}", checksum)
    assert str(data_folder() / "set" / name) in caught.value.hint and "RK_DATA" in caught.value.hint
    assert not (data_folder() / "set" / name).exists()


def test_a_damaged_file_is_known_by_its_checksum(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(CONTENT)
    assert is_intact(path, CHECKSUM) and is_intact(path, f"md5:{hashlib.md5(CONTENT).hexdigest()}")
    path.write_bytes(CONTENT[:-1])
    assert not is_intact(path, CHECKSUM)
    assert "remove it" in damaged(path).hint
