"""The stored cases in the layout of the ONNX project's own tests, which test runners of the ecosystem read.

A folder with `model.onnx`, a `test_data_set_<i>` for each case, in it `input_<i>.pb` and `output_<i>.pb` (serialized
`TensorProto`, in the graph's order), and `data.json` with the tolerances.

Outputs are PyTorch's own. The states that a stream's file returns besides are the file's own: what it holds after the
steps for which it computes those outputs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import BundleError, InputError
from ..onnx_file import read_onnx
from ..parity import Expected, check_case
from ..parity.cases import sizes_of as dims_of
from ..parity.chunks import in_one_pass
from ..parity.compare import Typical, judge, largest
from ..runtimes import open_session
from ..streaming.states import Stream
from . import check_outside, onnx_of, read_bundle, replacing
from .cases import read_cases
from .manifest import CASES, Artifact, Manifest
from .shipping import Written, sizes_of

_TOLERANCES = "data.json"

Array = NDArray[np.generic]
Values = tuple[Mapping[str, Array], Mapping[str, Array]]


def write_onnx_tests(bundle: str | Path, out: str | Path) -> Written:
    """Write a bundle's cases as a test of the ONNX project's form.

    A runner knows one absolute tolerance for all values: the largest limit of any output. Every sequence of a stream
    begins with the states' reset values.

    Args:
        bundle: the folder.
        out: the test's folder, which takes the place of such a test there.

    Raises:
        BundleError: `bundle` is not one, holds no ONNX file, or a stream's that is wrong, or `out` cannot be written.
        InputError: it holds no cases, or `out` lies in the bundle.
    """
    folder, out = Path(bundle), Path(out)
    manifest = read_bundle(folder)
    check_outside(out, folder)
    name, artifact = onnx_of(folder, manifest)
    if CASES not in manifest.files:
        raise InputError(f"{folder} holds no cases to make tests of. Take the bundle that it was made from.")
    expected = read_cases(folder / CASES, manifest)
    graph = read_onnx(folder / name, weights=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in stored]
    values = [_values(item) for item in expected]
    if artifact.stream is not None:
        values = _with_states(folder / name, artifact, artifact.stream, manifest, expected)
    with replacing(out, what="test", mark=_TOLERANCES, option="--onnx-tests") as temporary:
        for file in manifest.files_of(name):
            shutil.copy2(folder / file, temporary / file)
        for i, (given, got) in enumerate(values):
            data_set = temporary / f"test_data_set_{i}"
            data_set.mkdir()
            _write(data_set, "input", inputs, given)
            _write(data_set, "output", [value.name for value in graph.output], got)
        tolerances = {"rtol": 0.0, "atol": _tolerance(expected, values, manifest, artifact.bound)}
        (temporary / _TOLERANCES).write_text(json.dumps(tolerances) + "\n", encoding="utf-8")
    return Written(out, sizes_of(out))


def _write(folder: Path, kind: str, names: Sequence[str], arrays: Mapping[str, Array]) -> None:
    for i, name in enumerate(names):
        tensor = onnx.numpy_helper.from_array(arrays[name], name)
        (folder / f"{kind}_{i}.pb").write_bytes(tensor.SerializeToString())


def _values(item: Expected) -> Values:
    assert item.reference is not None
    return item.inputs, item.reference.eager


def _with_states(
    file: Path, artifact: Artifact, stream: Stream, manifest: Manifest, expected: Sequence[Expected]
) -> list[Values]:
    """What goes in with the states' reset values, and what comes out with the states after the last step."""
    session = open_session(artifact.runtime, file, manifest.signature.outputs)
    typical = {name: Typical(**values) for name, values in manifest.typical.items()}
    whole = in_one_pass(session, stream, manifest.signature, expected)
    found: list[Values] = []
    for item in expected:
        if check_case(whole, item, typical, artifact.bound).verdict == "FAIL":
            raise BundleError(f"{file} does not compute case {item.case.name} as PyTorch does. Export the model again.")
        given, eager = _values(item)
        sizes = dims_of(manifest.signature, given)
        given = {**{state.name: state.initial(sizes) for state in stream.states}, **given}
        found.append((given, {**session.run(given), **eager}))
    return found


def _tolerance(expected: Sequence[Expected], values: Sequence[Values], manifest: Manifest, bound: float) -> float:
    """The largest limit, from the reference, and as much as PyTorch itself is off: what a right file keeps within.

    States may be off as far as the outputs, relative to their scale.
    """
    typical = {name: Typical(**each) for name, each in manifest.typical.items()}
    limits = [0.0]
    for item, (_, got) in zip(expected, values, strict=True):
        assert item.reference is not None
        shares = [0.0]
        for name, eager in item.reference.eager.items():
            exact = None if item.reference.exact is None else item.reference.exact[name]
            own = item.reference.own.get(name, 0.0)
            usual = typical.get(name, Typical(0.0, 0.0))
            judged = judge(name, eager, eager, exact, own, usual, bound=bound)
            limits.append(judged.limit + own)
            shares.append(limits[-1] / judged.scale if judged.scale else 0.0)
        states = [array for name, array in got.items() if name not in item.reference.eager]
        limits += [max(shares) * largest(array.astype(np.float64)) for array in states]
    return max(limits)
