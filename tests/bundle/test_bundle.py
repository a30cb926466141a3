"""Bundles: replaced in one step or left alone, also when killed; read only if untouched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL
from planting import write_bundle
from rnn_export import BundleError, __version__, add_file, load, read_bundle, verify
from rnn_export.bundle.manifest import FORMAT, MANIFEST, read_manifest
from rnn_export.bundle.replace import replacing
from rnn_export.export import export_onnx


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle", "single")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_lists_every_file(bundle: Path) -> None:
    manifest = read_bundle(bundle)
    assert {*manifest.files, MANIFEST} == {path.name for path in bundle.iterdir()}
    assert manifest.signature.outputs == ("output", "h_n")
    assert manifest.outputs == {"output": "float32[T, N, 4]", "h_n": "float32[1, N, 4]"}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: flip(folder / "model.onnx"), "model.onnx is not as it was written (its sha256 differs)"),
        (lambda folder: (folder / "model.onnx").unlink(), "model.onnx is missing, though manifest.json lists it"),
        (lambda folder: (folder / MANIFEST).unlink(), "is not a bundle: it has no manifest.json"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "is not a manifest"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), "is not a manifest (`format` or `sha256` is missing)"),
        (lambda folder: edit(folder, lambda data: data["states"].update(x="y")), "was changed after it was written"),
        (
            lambda folder: edit(folder, lambda data: data["files"].update({"../x": data["files"]["model.onnx"]})),
            "is not a manifest",
        ),
    ],
)
def test_a_damaged_bundle_is_refused(bundle: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(bundle)
    with pytest.raises(BundleError) as error:
        read_bundle(bundle)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("versions", "needed"),
    [
        ({"rnn-export": "0.9.1"}, "rnn-export 0.9.1, which wrote it, or a newer one."),
        ({}, "a newer one."),
    ],
)
def test_a_newer_format_says_which_version_reads_it(bundle: Path, versions: dict[str, str], needed: str) -> None:
    newer = FORMAT + 1
    edit(bundle, lambda data: data.update(format=newer, versions=versions, news={"from": "the future"}))
    with pytest.raises(BundleError) as error:
        read_manifest(bundle)
    said = f"{bundle / MANIFEST} is of format {newer}, and rnn-export {__version__} reads up to {FORMAT}."
    assert str(error.value) == f"{said} Install {needed}"


def test_everyone_may_read_a_bundle(bundle: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in bundle.iterdir()} == {0o644}


def edit(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    data = json.loads((folder / MANIFEST).read_text())
    change(data)
    (folder / MANIFEST).write_text(json.dumps(data))


def test_an_error_leaves_the_old_bundle_and_no_litter(bundle: Path) -> None:
    before = contents(bundle)
    with pytest.raises(KeyError), replacing(bundle) as folder:  # noqa: PT012  what fails is in the block
        (folder / "half").write_text("written")
        {}["an error"]
    assert contents(bundle) == before
    assert os.listdir(bundle.parent) == ["bundle"]


KILLED = """
import sys, time
from pathlib import Path
from rnn_export.bundle.replace import replacing
with replacing(Path(sys.argv[1])) as folder:
    (folder / "model.onnx").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_killed_export_leaves_the_old_bundle(bundle: Path) -> None:
    before = contents(bundle)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(bundle)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert contents(bundle) == before
    assert len(os.listdir(bundle.parent)) == 2
    with replacing(bundle) as folder:
        (folder / MANIFEST).write_text("new")
    assert contents(bundle) == {MANIFEST: b"new"}
    assert os.listdir(bundle.parent) == ["bundle"]


def test_a_link_to_a_bundle_stays_a_link(bundle: Path) -> None:
    link = bundle.parent / "link"
    link.symlink_to(bundle.name)
    with replacing(link) as folder:
        (folder / MANIFEST).write_text("new")
    assert link.is_symlink()
    assert contents(bundle) == {MANIFEST: b"new"}
    assert sorted(os.listdir(bundle.parent)) == ["bundle", "link"]


def test_two_exports_at_once_both_end_in_a_whole_bundle(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rnn_export", "onnx", "--model", "single", "--quiet"]
    running = [subprocess.Popen(command, cwd=tmp_path) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert read_bundle(tmp_path / "artifacts" / "single").name == "single"
    assert os.listdir(tmp_path / "artifacts") == ["single"]


def test_a_file_of_ones_own_is_one_of_the_bundle(bundle: Path) -> None:
    before = contents(bundle)
    add_file(bundle, "vocabulary.json", b"[]")
    manifest = read_bundle(bundle)
    after = contents(bundle)
    assert after.pop("vocabulary.json") == b"[]"
    assert {**before, MANIFEST: after[MANIFEST]} == after
    assert verify(bundle).passed
    (bundle / "vocabulary.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match="vocabulary.json is not as it was written"):
        read_bundle(bundle)
    assert manifest.files["vocabulary.json"].bytes == 2


def test_a_file_of_ones_own_is_kept_by_an_export_of_the_same_model(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", "single")
    add_file(tmp_path / "b", "mine.json", b"{}")
    add_file(tmp_path / "b", "mine.json", b"{}")
    write_bundle(tmp_path / "b", "single", opset=20)
    assert "mine.json" in read_bundle(tmp_path / "b").files
    with pytest.raises(BundleError, match="has a mine.json"):
        add_file(tmp_path / "b", "mine.json", b"[]")
    other = load("single", **SMALL["single"], seed=4)
    exported = export_onnx(other.model, other.signature, tmp_path / "b", source=other.source, verify=False)
    assert f"mine.json was of another model and is no longer in {tmp_path / 'b'}." in exported.notes
    assert "mine.json" not in read_bundle(tmp_path / "b").files


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.onnx", "has a model.onnx, which is left alone."),
        ("manifest.json", "'manifest.json' is a name for what an export writes."),
        ("model.pt", "'model.pt' is a name for what an export writes."),
        ("Weights", "'Weights' is a name for what an export writes."),
        ("a" * 201, "is no name for a file in a bundle."),
        ("a/b", "'a/b' is no name for a file in a bundle."),
        ("../b", "'../b' is no name for a file in a bundle."),
        ("", "'' is no name for a file in a bundle."),
    ],
)
def test_a_file_of_ones_own_that_is_refused(name: str, said: str, bundle: Path) -> None:
    before = contents(bundle)
    with pytest.raises(BundleError, match=said):
        add_file(bundle, name, b"")
    assert contents(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
