"""The package's public names and its one version; what it says and holds is of use without a checkout."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import rnn_export

CLIENTS = Path(__file__).parents[1] / "clients"
# The clients are built without Python, so each of these repeats exporter/version.py.
VERSIONS = {
    "common/CMakeLists.txt": r'RNN_EXPORT_VERSION="(.+)"',
    "node/main.ts": r'VERSION = "(.+)"',
    "node/package.json": r'"version": "(.+)"',
    "node/package-lock.json": r'"name": "rnn-export-node",\n +"version": "(.+)"',
    "web/package.json": r'"version": "(.+)"',
    "web/package-lock.json": r'"name": "rnn-export-web",\n +"version": "(.+)"',
}

PUBLIC = """
BundleError CaptureError Diagnosis Exported ExportedPipeline FailingCase Fault FixedDecisionError FloatRange InputError
Inspection InterfaceError InternalError Latency LoadError Loaded Manifest OnnxOptions ParityError Part
Pipeline PlacementError ProviderOptions Recurrent Report RnnExportError Signature SignatureError Source Stream
TensorSpec Text TorchScriptOptions Transducer UnavailableError UndescribedInputsError Verification
WeightsError WrittenFiles __version__ add_file copy_bundle diagnose export_onnx export_pipeline export_torchscript
inspect load measure_latency read_bundle recur recur_until replay to_onnx verify write_fault
write_genai write_junit write_onnx_tests write_report write_triton
"""


ROOT = Path(__file__).parents[1]
OF_A_CHECKOUT = re.compile(
    r"(?<![\w/])(?:docs|clients|examples|tests|benchmarks|build)/\w|\bmake (?:[a-z]+-[a-z]+|clients|wheel|export)\b"
)


def _texts(file: Path) -> Iterator[str]:
    """The texts of a module, without what documents it."""
    tree = ast.parse(file.read_text())
    documenting = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documenting:
            yield node.value


def test_every_folder_of_the_package_is_installed() -> None:
    folders = {file.parent.relative_to(ROOT) for file in (ROOT / "exporter").rglob("__init__.py")}
    named = {".".join(["rnn_export", *folder.parts[1:]]) for folder in folders}
    with (ROOT / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["tool"]["setuptools"]["packages"]
    assert {*packages} == named | {"rnn_export.models"}


def test_no_message_names_what_only_a_checkout_has() -> None:
    files = [file for folder in ("exporter", "models") for file in (ROOT / folder).rglob("*.py")]
    said = {
        str(file.relative_to(ROOT)): [text for text in _texts(file) if OF_A_CHECKOUT.search(text)] for file in files
    }
    assert {file: texts for file, texts in said.items() if texts} == {}


@pytest.mark.parametrize(
    "text", ["see clients/README.md", "(docs/providers.md)", "Run make char-lm", "make wheel first"]
)
def test_such_a_message_would_be_found(text: str) -> None:
    assert OF_A_CHECKOUT.search(text)


def test_a_function_is_not_its_module() -> None:
    code = "from rnn_export import Verification, verify; print(callable(verify))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing such a module would put it in the place of what has its name."""
    assert [name for name in rnn_export.__all__ if find_spec(f"rnn_export.{name}") is not None] == []


def test_public_names() -> None:
    assert sorted(rnn_export.__all__) == sorted(PUBLIC.split())
    assert all(getattr(rnn_export, name) for name in rnn_export.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rnn_export.nothing


@pytest.mark.parametrize("file", VERSIONS)
def test_the_clients_have_the_version_of_the_package(file: str) -> None:
    assert {*re.findall(VERSIONS[file], (CLIENTS / file).read_text())} == {rnn_export.__version__}


def test_the_source_distribution_holds_documentation_and_clients(tmp_path: Path) -> None:
    """Built from what git has, so that what was built or installed beside it is not looked for."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, listed):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "tree" / name)
    code = "import setuptools.build_meta as build; print(build.build_sdist('..'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "tree", capture_output=True, check=True)
    with tarfile.open(tmp_path / f"rnn_export-{rnn_export.__version__}.tar.gz") as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("exporter/", "models/", "docs/", "clients/", "examples/", "artifacts/", "tests/", "benchmarks/")
    wanted = {name for name in listed if name.startswith(folders)} | {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "Makefile",
    }
    assert wanted - held == set()
