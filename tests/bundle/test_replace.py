"""What is replaced: a folder that an export wrote, with nothing of the user's in it, by one writer at a time."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from planting import write_bundle
from rnn_export import BundleError, add_file, read_bundle
from rnn_export.bundle.manifest import MANIFEST, README
from rnn_export.bundle.replace import replacing
from rnn_export.bundle.working_folder import LOCK, working_folder

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle", "single")


def everything(folder: Path) -> dict[str, bytes | None]:
    found = folder.rglob("*")
    return {str(path): path.read_bytes() if path.is_file() else None for path in found}


def replace(out: Path) -> None:
    with replacing(out) as folder:
        (folder / MANIFEST).write_text("new")


def add_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "model.onnx")


def exchange_for_a_link(folder: Path) -> None:
    kept = folder.parent / "kept.onnx"
    shutil.move(folder / "model.onnx", kept)
    (folder / "model.onnx").symlink_to(kept)


def edit_an_added_file(folder: Path) -> None:
    add_file(folder, "vocabulary.json", b"[]")
    (folder / "vocabulary.json").write_bytes(b"[1]")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: (folder / "notes.txt").write_text("mine"), "notes.txt"),
        (lambda folder: (folder / ".hidden").write_text("mine"), ".hidden"),
        (lambda folder: (folder / ".git").mkdir(), ".git"),
        (lambda folder: (folder / "weights").mkdir(), "weights"),
        (lambda folder: (folder / "model.onnx.old").write_text("mine"), "model.onnx.old"),
        (add_link, "link"),
        (exchange_for_a_link, "model.onnx"),
        (lambda folder: (folder / README).write_text("mine"), "README.md, which was edited,"),
        (edit_an_added_file, "vocabulary.json, which was edited,"),
        (lambda folder: (folder / MANIFEST).write_text('{"name": "My app", "start_url": "/"}'), MANIFEST),
        (lambda folder: (folder / MANIFEST).write_text("{"), MANIFEST),
        (lambda folder: (folder / MANIFEST).unlink(), README),
    ],
)
def test_a_bundle_with_anything_of_the_users_is_left_alone(
    bundle: Path, change: Callable[[Path], None], named: str
) -> None:
    change(bundle)
    before = everything(bundle)
    with pytest.raises(BundleError) as error:
        replace(bundle)
    assert str(error.value) == (
        f"{bundle} holds something other than a bundle, which is left alone. "
        f"Move {named} elsewhere, or choose another folder."
    )
    assert everything(bundle) == before
    assert not list(bundle.parent.glob(".*"))


def test_the_sources_of_a_web_app_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "app" / "src").mkdir(parents=True)
    (tmp_path / "app" / MANIFEST).write_text(json.dumps({"name": "app", "format": 2, "files": {}, "sha256": "0"}))
    (tmp_path / "app" / "src" / "index.js").write_text("//")
    with pytest.raises(BundleError, match="holds something other than a bundle, which is left alone"):
        replace(tmp_path / "app")
    assert (tmp_path / "app" / "src" / "index.js").is_file()


@pytest.mark.parametrize("name", [path.name for path in sorted(GOLDEN.iterdir()) if path.is_dir()])
def test_a_bundle_of_any_format_is_replaced(name: str, tmp_path: Path) -> None:
    replace(Path(shutil.copytree(GOLDEN / name, tmp_path / "b")))
    assert os.listdir(tmp_path / "b") == [MANIFEST]


def test_a_damaged_model_file_is_mended_by_another_export(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"damaged")
    (bundle / README).unlink()
    write_bundle(bundle, "single")
    assert read_bundle(bundle).name == "single"


def test_what_comes_into_the_folder_meanwhile_is_kept(bundle: Path) -> None:
    before = everything(bundle)
    with pytest.raises(BundleError, match="Move mine.txt elsewhere"), replacing(bundle) as folder:  # noqa: PT012
        (folder / MANIFEST).write_text("new")
        (bundle / "mine.txt").write_text("mine")
    assert everything(bundle) == {**before, str(bundle / "mine.txt"): b"mine"}


def test_other_places_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    for place, said in [
        (tmp_path / "file", "is a file. Choose a folder"),
        (tmp_path / "file" / "below", "cannot be written"),
        (tmp_path / "here" / "below", "is the working folder, which would be replaced"),
        (tmp_path / "here", "holds the working folder, which would be replaced with it"),
        (Path("/"), "holds the working folder"),
        (Path("/proc"), "is a mount point, which cannot be replaced"),
    ]:
        with pytest.raises(BundleError, match=said):
            replace(place)


@pytest.mark.parametrize("theirs", ["file", "folder", "link"])
def test_what_is_in_the_way_of_the_working_folder_is_left_alone(bundle: Path, theirs: str) -> None:
    place = bundle.parent / ".bundle.partial"
    (bundle.parent / "elsewhere").mkdir()
    if theirs == "file":
        place.write_text("mine")
    elif theirs == "folder":
        place.mkdir()
        (place / "new.txt").write_text("mine")
    else:
        place.symlink_to(bundle.parent / "elsewhere")
    before = everything(bundle.parent)
    with pytest.raises(BundleError, match="is in the way, and none of rnn-export's"):
        replace(bundle)
    assert everything(bundle.parent) == before


def test_no_other_leftovers_are_removed(bundle: Path) -> None:
    place = bundle.parent / ".bundle.partial"
    (place / "new.abc").mkdir(parents=True)
    (place / LOCK).touch()
    (place / "mine").write_text("mine")
    (bundle.parent / ".bundle.host.1234567.x.partial").mkdir()
    replace(bundle)
    assert os.listdir(place) == ["mine"]
    assert (bundle.parent / ".bundle.host.1234567.x.partial").is_dir()


def test_files_added_at_once_are_all_there(bundle: Path) -> None:
    code = "import sys; from rnn_export import add_file; add_file(sys.argv[1], sys.argv[2], sys.argv[2].encode())"
    names = [f"{letter}.txt" for letter in "abcd"]
    running = [subprocess.Popen([sys.executable, "-c", code, str(bundle), name]) for name in names]
    assert [process.wait() for process in running] == [0] * len(names)
    assert set(names) <= set(read_bundle(bundle).files)
    assert os.listdir(bundle.parent) == ["bundle"]


def test_threads_take_turns(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def enter(k: int) -> None:
        with working_folder(tmp_path / "b"), working_folder(tmp_path / "b"):
            inside.append(k)
            most.append(len(inside))
            threading.Event().wait(random.Random(k).random() / 20)
            inside.remove(k)

    threads = [threading.Thread(target=enter, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6
    assert os.listdir(tmp_path) == []


def test_a_writer_that_does_not_end_is_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_export.bundle.working_folder.PATIENCE", 0.1)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with working_folder(bundle):
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(20)
    try:
        with pytest.raises(BundleError, match="is being written by another process"):
            replace(bundle)
    finally:
        leave.set()
        thread.join()


def test_a_full_disk_leaves_the_old_bundle(bundle: Path) -> None:
    before = everything(bundle)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))
    try:
        with pytest.raises(BundleError, match="cannot be written .*Free some space there"):
            add_file(bundle, "large.bin", bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert everything(bundle) == before
    assert os.listdir(bundle.parent) == ["bundle"]
