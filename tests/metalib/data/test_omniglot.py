"""Omniglot from archives, folders and downloads, whole and damaged."""

import hashlib
import http.server
import io
import resource
import shutil
import socketserver
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalib.data import omniglot as module
from metalib.data.omniglot import omniglot, reduce
from metalib.errors import InputError, StoreError

ALPHABETS = {
    "images_background": {"Greek": 2, "N_Ko": 1},
    "images_evaluation": {"Tengwar": 2},
}


def drawing(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 2, (105, 105)).astype(bool)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Path:
    """A small Omniglot: two folders of five characters by 20 drawers."""
    folder = tmp_path_factory.mktemp("omniglot")
    number = 0
    for part, alphabets in ALPHABETS.items():
        for alphabet, characters in alphabets.items():
            for c in range(characters):
                character = folder / part / alphabet / f"character{c + 1:02}"
                character.mkdir(parents=True)
                for drawer in range(20):
                    number += 1
                    (character / f"{number:04}_{drawer + 1:02}.png").write_bytes(drawing(number))
    return folder


@pytest.fixture
def folder(original, tmp_path, monkeypatch) -> Path:
    """A copy of it to damage, known to the loader by its content, and an empty cache."""
    copy = tmp_path / "source"
    shutil.copytree(original, copy)
    monkeypatch.setattr(module, "CONTENT_SHA256", content_hash(copy))
    monkeypatch.setattr(module, "TRAIN_CHARACTERS", 3)
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("METALIB_OMNIGLOT", raising=False)
    return copy


def content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for part in ALPHABETS:
        for alphabet in sorted(p.name for p in (folder / part).iterdir()):
            for character in sorted(p.name for p in (folder / part / alphabet).iterdir()):
                for file in sorted((folder / part / alphabet / character).iterdir()):
                    digest.update(f"{part}/{alphabet}/{character}/{file.name}".encode())
                    digest.update(Image.open(file).convert("1").tobytes())
    return digest.hexdigest()


def pack(folder: Path, to: Path) -> Path:
    """Archive both parts as the official archives are: with entries for folders, in any order."""
    to.mkdir(exist_ok=True)
    for part in ALPHABETS:
        with zipfile.ZipFile(to / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((folder / part).rglob("*"), reverse=True):
                archive.write(path, path.relative_to(folder))
    return to


def kept(tmp_path: Path) -> list[str]:
    """What lies in the cache, locks aside."""
    return sorted(p.name for p in (tmp_path / "cache").glob("*") if p.suffix != ".lock")


def test_nearest_neighbor_is_what_pillow_makes_of_a_one_bit_image():
    for number in range(3):
        image = Image.open(io.BytesIO(drawing(number)))
        assert image.mode == "1"
        expected = np.asarray(image.resize((28, 28)))
        assert (reduce(np.asarray(image).astype(np.uint8)) == expected).all()


def test_quarter_turns_are_those_of_pillow(folder):
    pool = omniglot(folder)
    image = Image.fromarray(pool.images[0, 0, :, :, 0].astype(bool))
    for turn in range(4):
        expected = np.asarray(image.rotate(90 * turn))
        assert (np.rot90(pool.images[0, 0, :, :, 0], turn) == expected).all()


def test_archives_folders_and_the_cache_give_the_same_images(folder, tmp_path, monkeypatch):
    from_folders = omniglot(folder)
    assert kept(tmp_path) == ["omniglot-28.npz"]
    shutil.rmtree(tmp_path / "cache")
    archives = pack(folder, tmp_path / "archives")
    from_archives = omniglot(archives)
    monkeypatch.setenv("METALIB_OMNIGLOT", str(archives))
    shutil.rmtree(tmp_path / "cache")
    from_variable = omniglot()
    for path in archives.iterdir():
        path.unlink()
    from_cache = omniglot()
    assert from_folders.images.shape == (5, 20, 28, 28, 1)
    first = np.asarray(Image.open(io.BytesIO(drawing(1))).resize((28, 28)))
    assert (from_folders.images[0, 0, :, :, 0] == first).all()
    for pool in (from_archives, from_variable, from_cache):
        assert (pool.images == from_folders.images).all()
        assert pool.digest == from_folders.digest


def test_lake_split_follows_the_archives(folder):
    split = omniglot(folder, split="lake", rotate_train=False).split(seed=7)
    assert list(split.train) == [0, 1, 2]
    assert list(split.test) == [3, 4]
    with pytest.raises(InputError, match="choose one of pooled, lake, vinyals"):
        omniglot(folder, split="alphabet")


def damage_archive(folder: Path) -> None:
    path = pack(folder, folder.parent / "archives") / "images_background.zip"
    content = bytearray(path.read_bytes())
    content[2000:2400] = bytes(400)
    path.write_bytes(content)


def truncate_archive(folder: Path) -> None:
    path = pack(folder, folder.parent / "archives") / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:-3000])


def truncate_drawing(folder: Path) -> None:
    path = next((folder / "images_background" / "Greek" / "character01").iterdir())
    path.write_bytes(path.read_bytes()[:200])


def replace_drawing(folder: Path) -> None:
    path = next((folder / "images_background" / "Greek" / "character01").iterdir())
    path.write_bytes(drawing(99))


def resize_drawing(folder: Path) -> None:
    path = next((folder / "images_background" / "Greek" / "character01").iterdir())
    Image.open(path).resize((28, 28)).save(path)


def remove_drawer(folder: Path) -> None:
    sorted((folder / "images_background" / "Greek" / "character02").iterdir())[4].unlink()


def remove_part(folder: Path) -> None:
    shutil.rmtree(folder / "images_evaluation")


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (damage_archive, StoreError, "images_background.zip is damaged"),
        (truncate_archive, StoreError, "images_evaluation.zip is damaged"),
        (truncate_drawing, StoreError, "images_background is damaged"),
        (replace_drawing, StoreError, "not those of Omniglot: their SHA-256"),
        (resize_drawing, StoreError, "has 28×28 pixels"),
        (remove_drawer, StoreError, "Greek/character02 holds 19 drawings instead of 20"),
        (remove_part, InputError, "neither images_evaluation.zip nor a folder images_evaluation"),
    ],
)
def test_a_damaged_copy_is_one_clear_error_and_the_next_attempt_works(
    original, folder, tmp_path, harm, error, message
):
    harm(folder)
    archives = tmp_path / "archives"
    with pytest.raises(error, match=message):
        omniglot(archives if archives.exists() else folder)
    assert kept(tmp_path) == []
    assert omniglot(original).images.shape[0] == 5


def test_a_missing_folder_is_a_clear_error(folder, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="nowhere is not there"):
        omniglot(tmp_path / "nowhere")
    monkeypatch.setenv("METALIB_OMNIGLOT", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="named by METALIB_OMNIGLOT"):
        omniglot()


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_behind(folder, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot keep omniglot-28.npz .* free some space"):
            omniglot(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kept(tmp_path) == []
    assert omniglot(folder).images.shape[0] == 5


def test_a_damaged_cache_is_made_again(folder, tmp_path):
    whole = omniglot(folder)
    path = tmp_path / "cache" / "omniglot-28.npz"
    path.write_bytes(path.read_bytes()[:700])
    assert (omniglot(folder).images == whole.images).all()
    assert path.stat().st_size > 700


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
