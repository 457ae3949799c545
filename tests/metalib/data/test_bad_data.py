"""Data that are not what they say: each refused in one line that names the file, and nothing is kept.

A case is a row: what is done to a good copy, and what the message must say.
"""

import io
import shutil
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from metalib.data.miniimagenet import miniimagenet
from metalib.data.omniglot import LARGEST, omniglot
from metalib.errors import InputError, MetalibError
from metalib.store import save_arrays
from tests.metalib.data.small_omniglot import drawing, kept, pack

BACKGROUND, EVALUATION = "images_background", "images_evaluation"
FIRST = f"{BACKGROUND}/Greek/character01/0001_01.png"


def edited(folder: Path, edit, part: str = BACKGROUND) -> None:
    """Rewrite an archive, with what `edit` makes of each member: its name and content, or nothing."""
    path = folder / f"{part}.zip"
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in filter(None, (edit(*member) for member in members)):
            archive.writestr(*member)


def replaced(folder: Path, content: bytes) -> None:
    edited(folder, lambda name, old: (name, content if name == FIRST else old))


def patched(folder: Path, offset: int, value: bytes, central: int) -> None:
    """Overwrite a field of the first drawing's headers, the local one and the central one."""
    path = folder / f"{BACKGROUND}.zip"
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", offset), (b"PK\x01\x02", central)):
        at = content.index(FIRST.encode()) if signature == b"PK\x03\x04" else content.rindex(FIRST.encode())
        start = content.rindex(signature, 0, at) + place
        content[start : start + len(value)] = value
    path.write_bytes(content)


def swapped(folder: Path) -> None:
    first, second = (folder / f"{part}.zip" for part in (BACKGROUND, EVALUATION))
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header says what it likes."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    body = [header, *chunks, (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    written = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in body
    )
    return b"\x89PNG\r\n\x1a\n" + written


def text_bomb() -> bytes:
    return png(105, 105, (b"zTXt", b"comment\0\0" + zlib.compress(bytes(3 * 10**6))))


def a_folder_for(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_gif(old: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(old)).save(file, "gif")
    return file.getvalue()


ARCHIVES = [
    ("encrypted", lambda f: patched(f, 6, b"\x01\x00", 8), f"{FIRST} is encrypted"),
    ("unknown compression", lambda f: patched(f, 8, b"\x63\x00", 10), "compression method is not supported"),
    ("a bomb", lambda f: replaced(f, bytes(LARGEST + 1)), "unpacks to 100,001 bytes"),
    ("a bomb of gigabytes", lambda f: patched(f, 22, b"\xff\xff\xff\x7f", 24), "to 2,147,483,647 bytes"),
    ("swapped", swapped, "they are swapped; exchange their names"),
    ("one part twice", lambda f: shutil.copy(f / f"{BACKGROUND}.zip", f / f"{EVALUATION}.zip"), "swapped"),
    ("empty", lambda f: (f / f"{BACKGROUND}.zip").write_bytes(b""), "is damaged (File is not a zip file)"),
    ("a text", lambda f: (f / f"{BACKGROUND}.zip").write_text("no zip"), "File is not a zip file"),
    ("a page of an error", lambda f: (f / f"{BACKGROUND}.zip").write_text("<html>404"), "is not a zip file"),
    ("no members", lambda f: edited(f, lambda *_: None), "are not those of Omniglot"),
    ("no drawings", lambda f: edited(f, lambda n, c: (n + ".txt", c)), "are not those of Omniglot"),
    ("another folder inside", lambda f: edited(f, lambda n, c: ("x/" + n, c)), "are not those of Omniglot"),
    ("19 people", lambda f: edited(f, lambda n, c: None if n == FIRST else (n, c)), "19 drawings"),
    ("an empty drawing", lambda f: replaced(f, b""), "cannot identify image file"),
    ("a drawing that is a text", lambda f: replaced(f, b"a drawing"), "cannot identify image file"),
    ("a cut drawing", lambda f: replaced(f, drawing(1)[:150]), "images_background.zip is damaged"),
    ("another drawing", lambda f: replaced(f, drawing(99)), "are not those of Omniglot"),
    ("a small drawing", lambda f: replaced(f, png(28, 28)), "has 28×28 pixels"),
    ("a large drawing", lambda f: replaced(f, png(20_000, 20_000)), "decompression bomb"),
    ("a rather large drawing", lambda f: replaced(f, png(10_000, 10_000)), "has 10000×10000"),
    ("a flat drawing", lambda f: replaced(f, png(105, 0)), "images_background.zip"),
    ("a text bomb in a drawing", lambda f: replaced(f, text_bomb()), "Decompressed data too large"),
    ("a drawing of other bits", lambda f: replaced(f, png(105, 105, (b"zTXt", b"x"))), "is damaged"),
    ("an animation", lambda f: replaced(f, as_gif(drawing(99))), "are not those of Omniglot"),
    ("a folder for an archive", lambda f: a_folder_for(f / f"{BACKGROUND}.zip"), "holds neither"),
    ("neither", lambda f: (f / f"{EVALUATION}.zip").unlink(), "holds neither images_evaluation.zip nor"),
]  # fmt: skip


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("harm", "message"), [row[1:] for row in ARCHIVES], ids=[row[0] for row in ARCHIVES])
def test_an_archive_that_is_not_omniglots_is_refused_in_one_line(folder, tmp_path, harm, message):
    archives = pack(folder, tmp_path / "archives")
    harm(archives)
    refuse(lambda: omniglot(archives), message)
    assert kept(tmp_path) == []


def refuse(call, message):
    with pytest.raises(MetalibError) as refused:
        call()
    text = str(refused.value)
    assert message in text, text
    assert "\n" not in text
    assert "0x" not in text, "no objects in memory"


FOLDERS = [
    ("swapped", lambda f: swapped_folders(f), "the 2 + 3 characters in"),
    ("no folder", lambda f: (f / EVALUATION).rename(f / "x"), "holds neither"),
    ("a folder for a drawing", lambda f: a_folder_for(f / FIRST), "Is a directory"),
    ("a link to nowhere", lambda f: ((f / FIRST).unlink(), (f / FIRST).symlink_to("nowhere")), "is damaged"),
    ("a loop of links", lambda f: ((f / FIRST).unlink(), (f / FIRST).symlink_to(f / FIRST)), "is damaged"),
    ("one more drawing", lambda f: (f / FIRST).with_name("00_21.png").write_bytes(drawing(1)), "21 drawings"),
    ("another character", lambda f: shutil.copytree((f / FIRST).parent, f / BACKGROUND / "x" / "x"), "4 + "),
]  # fmt: skip


def swapped_folders(folder: Path) -> None:
    (folder / BACKGROUND).rename(folder / "aside")
    (folder / EVALUATION).rename(folder / BACKGROUND)
    (folder / "aside").rename(folder / EVALUATION)


@pytest.mark.parametrize(("harm", "message"), [row[1:] for row in FOLDERS], ids=[row[0] for row in FOLDERS])
def test_a_folder_that_is_not_omniglots_is_refused_in_one_line(folder, tmp_path, harm, message):
    harm(folder)
    refuse(lambda: omniglot(folder), message)
    assert kept(tmp_path) == []


def test_arrays_of_something_else_in_the_cache_are_made_again(folder, tmp_path):
    whole = omniglot(folder)
    save_arrays(tmp_path / "cache" / "omniglot-28.npz", {"images": whole.images[:1]}, {})
    assert omniglot(folder) == whole


@pytest.fixture
def tables(tmp_path):
    """Mini-ImageNet by tables, one image per class."""
    folder = tmp_path / "tables"
    (folder / "images").mkdir(parents=True)
    for part in ("train", "val", "test"):
        Image.new("RGB", (84, 84)).save(folder / "images" / f"{part}.png")
        (folder / f"{part}.csv").write_text(f"filename,label\n{part}.png,n1\n")
    return folder


TABLES = [
    ("empty", b"", "expected filename and label"),
    ("other columns", b"file,class\ntrain.png,n1\n", "expected filename and label"),
    ("no rows", b"filename,label\n", "has no classes in train"),
    ("not UTF-8", b"filename,label\n\xff\xfe.png,n1\n", "expected filename and label"),
    ("uneven rows", b"filename,label\na,b,c,d\n", "is missing"),
    ("an open quote", b'filename,label\n"train.png,n1\n', "expected filename and label"),
    ("a file outside", b"filename,label\n../../outside.png,n1\n", "'../../outside.png', which is no file of"),
    ("an absolute file", b"filename,label\n/etc/hostname,n1\n", "'/etc/hostname', which is no file of"),
    ("no file", b"filename,label\n,n1\n", "names '', which is no file of"),
    ("a missing file", b"filename,label\nother.png,n1\n", "other.png is missing (1 files in all)"),
    ("a zero byte", b"filename,label\n\0,n1\n", "train.csv"),
]


@pytest.mark.parametrize(("content", "message"), [row[1:] for row in TABLES], ids=[row[0] for row in TABLES])
def test_a_table_that_lists_no_images_is_refused_in_one_line(tables, content, message):
    (tables / "train.csv").write_bytes(content)
    refuse(lambda: miniimagenet(tables, complete=False), message)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "cannot identify image file"),
    (b"GIF89a", "train.png is damaged"),
    (png(30_000, 30_000), "decompression bomb"),
    (text_bomb(), "Decompressed data too large"),
])  # fmt: skip
def test_an_image_that_is_none_is_refused_in_one_line(tables, content, message):
    (tables / "images" / "train.png").write_bytes(content)
    refuse(lambda: miniimagenet(tables, complete=False), message)


@pytest.mark.parametrize(
    ("missing", "call", "message"),
    [
        ("pooch", lambda _: omniglot(), r"pooch is not installed; pip install 'metalib[data]'"),
        (
            "PIL.Image",
            lambda folder: omniglot(folder),
            r"pillow is not installed; pip install 'metalib[data]'",
        ),
    ],
)
def test_a_missing_part_is_named_with_the_command_that_installs_it(
    folder, monkeypatch, missing, call, message
):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError) as refused:
        call(folder)
    assert str(refused.value) == message
