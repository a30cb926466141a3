"""Write the stored cases in the layout of the ONNX project's own tests, which test runners of the ecosystem read.

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
from msgspec import convert, to_builtins
from numpy.typing import NDArray

from ..bundle.cases import read_cases
from ..bundle.files import Bundle, hash_file
from ..bundle.manifest import CASES
from ..bundle.ours import WRITER, foreign_in, hash_files
from ..bundle.replace import replacing
from ..errors import BundleError, InputError
from ..onnx_file import read_onnx
from ..parity.artifact import open_whole
from ..parity.check import check_case
from ..parity.chunks import Chunked
from ..parity.compare import largest, largest_error
from ..parity.expected import Expected
from ..pytorch.samples import sizes_of as dims_of
from ..runtimes.session import Session
from ..spec.artifact import FileEntry
from .copy_bundle import WrittenFiles, sizes_of

_TOLERANCES = "data.json"
Array = NDArray[np.generic]
Values = tuple[Mapping[str, Array], Mapping[str, Array]]


def write_onnx_tests(bundle: str | Path | Bundle, out: str | Path) -> WrittenFiles:
    """Write a bundle's cases as a test of the ONNX project's form.

    A runner knows one pair of tolerances for all values. The absolute one is the largest limit of any output; there is
    a relative one for a stream's states, which may be as far off as the outputs, relative to themselves. Every sequence
    of a stream begins with the states' reset values. A case in which the runtime is known to differ is left out.

    Args:
        bundle: the folder, or one that was opened.
        out: the test's folder, which takes the place of such a test there.

    Raises:
        BundleError: `bundle` is not one, or holds no ONNX file or one that is wrong, or `out` cannot be written.
        InputError: it holds no cases, or `out` lies in the bundle.
        UnavailableError: the runtime that the file was verified in is not there.
    """
    opened, out = Bundle.open(bundle), Path(out)
    opened.check_outside(out)
    folder, manifest = opened.folder, opened.manifest
    name, artifact = opened.onnx
    if CASES not in manifest.files:
        raise InputError(f"{folder} holds no cases to make tests of. Take the bundle that it was made from.")
    graph = read_onnx(folder / name, weights=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in stored]
    expected = read_cases(folder / CASES, manifest, name)
    whole = open_whole(folder / name, artifact, manifest.signature, expected)
    right, notes = _right(folder / name, whole, expected, artifact.bound)
    values = [_with_states(whole, item) if isinstance(whole, Chunked) else _values(item) for item in right]
    with replacing(out, what="test", foreign=_foreign) as temporary:
        for file in manifest.files_of(name):
            shutil.copy2(folder / file, temporary / file)
        for i, (given, got) in enumerate(values):
            data_set = temporary / f"test_data_set_{i}"
            data_set.mkdir()
            _write(data_set, "input", inputs, given)
            _write(data_set, "output", [value.name for value in graph.output], got)
        absolute, relative = _tolerances(right)
        tolerances = {"rtol": relative if artifact.stream is not None else 0.0, "atol": absolute}
        record = {"written_by": WRITER, "files": to_builtins(hash_files(temporary))}
        (temporary / _TOLERANCES).write_text(json.dumps({**tolerances, **record}) + "\n", encoding="utf-8")
    return WrittenFiles(out, sizes_of(out), tuple(notes))


def _foreign(folder: Path) -> str:
    """Name what is not of a test that was written here: `data.json` lists what is."""
    try:
        record = json.loads((folder / _TOLERANCES).read_text(encoding="utf-8"))
        if record["written_by"] != WRITER:
            return _TOLERANCES
        listed = convert(record["files"], dict[str, FileEntry])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return foreign_in(folder, {})
    return foreign_in(folder, {**listed, _TOLERANCES: hash_file(folder / _TOLERANCES)})


def _write(folder: Path, kind: str, names: Sequence[str], arrays: Mapping[str, Array]) -> None:
    for i, name in enumerate(names):
        tensor = onnx.numpy_helper.from_array(arrays[name], name)
        (folder / f"{kind}_{i}.pb").write_bytes(tensor.SerializeToString())


def _right(
    file: Path, session: Session, expected: Sequence[Expected], bound: float
) -> tuple[list[Expected], list[str]]:
    """The cases that the file passes, and notes on the others."""
    right, notes = [], []
    for item in expected:
        result = check_case(session, item, bound)
        if result.verdict == "FAIL":
            raise BundleError(f"{file} does not compute case {item.case.name} as PyTorch does. Export the model again.")
        if result.verdict == "EXPECTED":
            notes.append(f"Case {item.case.name} is left out: it is known to differ ({result.note}).")
        else:
            right.append(item)
    return right, notes


def _values(item: Expected) -> Values:
    assert item.reference is not None
    return item.inputs, item.reference.eager


def _with_states(whole: Chunked, item: Expected) -> Values:
    """What goes in with the states' reset values, and what comes out with the states after the last step."""
    given, eager = _values(item)
    sizes = dims_of(whole.signature, given)
    given = {**{state.name: state.initial(sizes) for state in whole.stream.states}, **given}
    as_given = {name: array for name, array in eager.items() if name not in whole.stream.timings}
    return given, {**whole.session.run(given), **as_given}


def _tolerances(expected: Sequence[Expected]) -> tuple[float, float]:
    """The largest limit, from the reference, and as much as PyTorch itself is off: what a right file keeps within.

    Absolute, and relative to the largest value of the output.
    """
    limits = [(0.0, 0.0)]
    for item in expected:
        assert item.reference is not None
        for name, tolerance in item.tolerances.items():
            eager, exact = item.reference.eager[name], item.reference.exact_of(name)
            scale = largest(eager)
            limit = largest(tolerance.limit) + (0.0 if exact is None else largest_error(eager, exact))
            limits.append((limit, limit / scale if scale else 0.0))
    return max(absolute for absolute, _ in limits), max(relative for _, relative in limits)
