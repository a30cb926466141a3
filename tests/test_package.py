"""The package's public names, and its one version."""

from __future__ import annotations

import re
import subprocess
import sys
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
BundleError CaptureError Diagnosis Exported FailingCase Fault FixedDecisionError FloatRange InputError
Inspection InterfaceError InternalError Latency LoadError Loaded Manifest OnnxOptions ParityError
PlacementError ProviderOptions Recurrent Report RnnExportError Signature SignatureError Source Stream
TensorSpec TorchScriptOptions UnavailableError UndescribedInputsError Verification WeightsError WrittenFiles
__version__ add_file copy_bundle diagnose export_onnx export_torchscript inspect load measure_latency
read_bundle recur recur_until replay to_onnx verify write_fault write_junit write_onnx_tests write_report
write_triton
"""


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
