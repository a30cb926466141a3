"""The stored cases in the layout of the ONNX project's own tests, which test runners of the ecosystem read.

A folder with `model.onnx`, a `test_data_set_<i>` for each case, in it `input_<i>.pb` and `output_<i>.pb` (serialized
`TensorProto`, in the graph's order), and `data.json` with the tolerances.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import InputError
from ..onnx_file import read_onnx
from ..parity import Expected
from ..parity.compare import Typical, judge
from . import check_outside, onnx_of, read_bundle, replacing
from .cases import read_cases
from .manifest import CASES, Manifest
from .shipping import Written, sizes_of

_TOLERANCES = "data.json"

Array = NDArray[np.generic]


def write_onnx_tests(bundle: str | Path, out: str | Path) -> Written:
    """Write a bundle's cases as a test of the ONNX project's form.

    Outputs are PyTorch's own. A runner knows one absolute tolerance for all of them: the largest limit of any output.

    Args:
        bundle: the folder.
        out: the test's folder, which takes the place of such a test there.

    Raises:
        BundleError: `bundle` is not one, or `out` cannot be written.
        InputError: it holds no ONNX file or no cases, or the file returns states, for which there are no values;
            or `out` lies in the bundle.
    """
    folder, out = Path(bundle), Path(out)
    manifest = read_bundle(folder)
    check_outside(out, folder)
    name, artifact = onnx_of(folder, manifest)
    if CASES not in manifest.files:
        raise InputError(f"{folder} holds no cases to make tests of. Take the bundle that it was made from.")
    if artifact.stream is not None:
        raise InputError(
            f"{name} takes and returns the states of a stream, of which the cases hold no values. "
            "Export the model without --stateful."
        )
    expected = read_cases(folder / CASES, manifest)
    graph = read_onnx(folder / name, weights=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in stored]
    with replacing(out, what="test", mark=_TOLERANCES, option="--onnx-tests") as temporary:
        for file in manifest.files_of(name):
            shutil.copy2(folder / file, temporary / file)
        for i, item in enumerate(expected):
            assert item.reference is not None
            data_set = temporary / f"test_data_set_{i}"
            data_set.mkdir()
            _write(data_set, "input", inputs, item.inputs)
            _write(data_set, "output", [value.name for value in graph.output], item.reference.eager)
        tolerances = {"rtol": 0.0, "atol": _tolerance(expected, manifest, artifact.bound)}
        (temporary / _TOLERANCES).write_text(json.dumps(tolerances) + "\n", encoding="utf-8")
    return Written(out, sizes_of(out))


def _write(folder: Path, kind: str, names: Sequence[str], arrays: Mapping[str, Array]) -> None:
    for i, name in enumerate(names):
        tensor = onnx.numpy_helper.from_array(arrays[name], name)
        (folder / f"{kind}_{i}.pb").write_bytes(tensor.SerializeToString())


def _tolerance(expected: Sequence[Expected], manifest: Manifest, bound: float) -> float:
    """The largest limit, from the reference, and as much as PyTorch itself is off: what a right file keeps within."""
    typical = {name: Typical(**values) for name, values in manifest.typical.items()}
    limits = [0.0]
    for item in expected:
        assert item.reference is not None
        for name, eager in item.reference.eager.items():
            exact = None if item.reference.exact is None else item.reference.exact[name]
            own = item.reference.own.get(name, 0.0)
            usual = typical.get(name, Typical(0.0, 0.0))
            limits.append(judge(name, eager, eager, exact, own, usual, bound=bound).limit + own)
    return max(limits)
