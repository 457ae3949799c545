"""Omniglot from the network: verified, taken up again, or a clear error."""

import hashlib
import http.server
import socketserver
import threading
import time
from pathlib import Path

import pytest

from metalib.data import omniglot as module
from metalib.data.omniglot import omniglot
from metalib.errors import StoreError
from tests.metalib.data.small_omniglot import kept, pack


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    folder: Path
    broken = 0
    requests = 0


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self):
        self.server.requests += 1
        content = (self.server.folder / self.path.lstrip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.broken:
            self.server.broken -= 1
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *args):
        """Keep the test's output clean."""


@pytest.fixture
def server(folder, tmp_path, monkeypatch):
    """A host of the official archives, which can break off."""
    archives = pack(folder, tmp_path / "archives")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    with _Server(("127.0.0.1", 0), _Handler) as running:
        running.folder = archives
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{running.server_port}/")
        monkeypatch.setattr(
            module,
            "MD5",
            {p.name: "md5:" + hashlib.md5(p.read_bytes()).hexdigest() for p in sorted(archives.iterdir())},
        )
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # pooch pauses between attempts
        yield running
        running.shutdown()


def test_a_download_is_verified_converted_and_not_repeated(server, folder, tmp_path):
    pool = omniglot()
    assert (pool.images == omniglot(folder).images).all()
    assert server.requests == 2
    (tmp_path / "cache" / "omniglot-28.npz").unlink()
    omniglot()
    assert server.requests == 2, "the archives themselves are kept"


def test_a_download_that_breaks_off_once_is_taken_up_again(server):
    server.broken = 1
    assert omniglot().images.shape[0] == 5
    assert server.requests == 3


def test_a_download_that_keeps_breaking_off_is_a_clear_error_and_the_next_attempt_works(server, tmp_path):
    server.broken = 100
    with pytest.raises(StoreError, match=r"download of .*images_background.zip failed"):
        omniglot()
    assert kept(tmp_path) == ["omniglot"]
    assert list((tmp_path / "cache" / "omniglot").iterdir()) == []
    server.broken = 0
    assert omniglot().images.shape[0] == 5


def test_a_wrong_checksum_is_a_clear_error_and_nothing_is_kept(server, tmp_path, monkeypatch):
    right = dict(module.MD5)
    monkeypatch.setattr(module, "MD5", {**right, "images_evaluation.zip": "md5:" + "0" * 32})
    with pytest.raises(StoreError, match=r"images_evaluation.zip failed"):
        omniglot()
    assert sorted(p.name for p in (tmp_path / "cache" / "omniglot").iterdir()) == ["images_background.zip"]
    assert "omniglot-28.npz" not in kept(tmp_path)
    monkeypatch.setattr(module, "MD5", right)
    assert omniglot().images.shape[0] == 5
