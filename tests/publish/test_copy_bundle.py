"""A bundle for shipping: less in it, a manifest that fits, and as much verified as can be."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from conftest import SMALL
from planting import write_bundle
from rnn_export import BundleError, InputError, add_file, load, read_bundle, verify
from rnn_export.bundle.manifest import README
from rnn_export.export import export_onnx, export_torchscript
from rnn_export.publish.copy_bundle import copy_bundle
from rnn_export.publish.onnx_tests import write_onnx_tests
from rnn_export.publish.triton import write_triton


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with an ONNX and a TorchScript file."""
    out = tmp_path_factory.mktemp("bundles") / "single"
    loaded = load("single", **SMALL["single"])
    export_onnx(loaded.model, loaded.signature, out, source=loaded.source)
    return export_torchscript(loaded.model, loaded.signature, out, source=loaded.source).folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


ALL = {"README.md", "manifest.json", "model.onnx", "model.pt", "cases.safetensors", "weights.safetensors"}


@pytest.mark.parametrize(
    ("without", "gone", "how"),
    [
        ([], set(), "rebuilt"),
        (["weights"], {"weights.safetensors"}, "replayed"),
        (["cases"], {"cases.safetensors"}, "rebuilt"),
        (["model.pt"], {"model.pt"}, "rebuilt"),
        (["weights", "model.onnx"], {"weights.safetensors", "model.onnx"}, "replayed"),
    ],
)
def test_what_is_left_verifies(both: Path, tmp_path: Path, without: list[str], gone: set[str], how: str) -> None:
    written = copy_bundle(both, tmp_path / "ship", without=without)
    assert names(written.folder) == ALL - gone == set(written.files)
    assert {*read_bundle(written.folder).files, "manifest.json"} == ALL - gone
    page = (written.folder / "README.md").read_text()
    assert all(f"`{name}`" not in page for name in gone)
    verification = verify(written.folder, seed=0)
    assert (verification.how, verification.passed) == (how, True)


def test_a_bundle_with_neither_weights_nor_cases_says_so(both: Path, tmp_path: Path) -> None:
    written = copy_bundle(both, tmp_path / "bare", without=["weights", "cases"])
    assert written.notes == ("It holds neither weights nor cases: nobody can verify it again.",)
    with pytest.raises(BundleError, match="holds no cases to replay. Verify the bundle that it was made from."):
        verify(written.folder)


def test_what_was_cut_from_an_example_is_not_cut_from_anything_else(tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    example = {"x": torch.ones(7, 5, 3)}
    out = tmp_path / "example"
    export_onnx(loaded.model, loaded.signature, out, example=example, source=loaded.source, verify=False)
    copy_bundle(out, tmp_path / "ship", without=["cases"])
    with pytest.raises(BundleError, match="holds no cases to replay"):
        verify(tmp_path / "ship")


@pytest.mark.parametrize(
    ("without", "said"),
    [
        (["weigths"], "There is no part 'weigths' to leave out. Did you mean 'weights'? Choose from weights, cases, "),
        (["model.pt", "model.onnx"], "Without model.onnx the bundle would hold no model. Keep a model file."),
    ],
)
def test_wrong_parts_are_refused(both: Path, tmp_path: Path, without: list[str], said: str) -> None:
    with pytest.raises(InputError) as error:
        copy_bundle(both, tmp_path / "ship", without=without)
    assert str(error.value).startswith(said)
    assert not (tmp_path / "ship").exists()


def test_a_bundle_is_not_shipped_over_itself_nor_over_something_else(both: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lies in the bundle .* which stays as it is"):
        copy_bundle(both, both, without=["weights"])
    (tmp_path / "cat.jpg").write_text("cat")
    with pytest.raises(BundleError, match="holds something other than a bundle"):
        copy_bundle(both, tmp_path)


def test_a_file_of_ones_own_is_shipped_or_left_out(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", "single")
    add_file(bundle, "mine.json", b"{}")
    (bundle / "README.md").unlink()
    assert "mine.json" in copy_bundle(bundle, tmp_path / "with").files
    assert "mine.json" not in copy_bundle(bundle, tmp_path / "without", without=["mine.json"]).files


def test_nothing_is_written_into_a_bundle(both: Path, tmp_path: Path) -> None:
    for write in (copy_bundle, write_onnx_tests, write_triton):
        with pytest.raises(InputError, match="lies in the bundle"):
            write(both, both / "inside")


def test_a_bundle_without_a_page_gets_one(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "format3-stateful"
    bundle = Path(shutil.copytree(golden, tmp_path / "b"))
    (bundle / README).unlink()
    written = copy_bundle(bundle, tmp_path / "new")
    assert set(written.files) == names(golden)
    assert verify(written.folder, seed=0).passed


def test_the_command(both: Path, cli: Callable[..., Result], tmp_path: Path) -> None:
    shutil.copytree(both, tmp_path / "single")
    result = cli("bundle", "single", "--out", "ship", "--without", "weights", "--onnx-tests", "tests")
    assert result.exit_code == 0, result.output
    assert "Note: It holds no weights: verify replays its cases, and makes no fresh ones." in result.stdout
    assert re.search(r"^ship \(.* kB\): .*manifest.json", result.stdout, flags=re.MULTILINE)
    assert re.search(r"^tests \(.* kB\): .*test_data_set_0/input_0.pb", result.stdout, flags=re.MULTILINE)
    assert cli("verify", "ship").exit_code == 0
    assert cli("bundle", "single").exit_code == 2
    assert cli("bundle", "single", "--onnx-tests", "tests", "--without", "weights").exit_code == 2


def test_one_part_as_text_is_no_list_of_parts(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "in", "tagger")
    with pytest.raises(InputError, match=r"`without` is the text 'cases'. Give a list, such as \['cases'\]."):
        copy_bundle(bundle, tmp_path / "out", without="cases")
    assert not (tmp_path / "out").exists()
