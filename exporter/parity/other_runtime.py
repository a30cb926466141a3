"""Compare a runtime with ONNX Runtime on the CPU, for an ONNX file of which nothing says what PyTorch computes.

Two runtimes that agree may both compute something else than the model that the file was made from: this shows that the
file means the same to both. Limits are those without a float64 reference (see `limits`): four times what it moves ONNX
Runtime's outputs that inputs and weights are moved by a rounding (see `moved_weights`), and no less than the stated
tolerance.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, first_line
from ..pytorch.example_files import read_example
from ..pytorch.samples import Case, make_inputs, traced_sizes
from ..runtimes.onnxruntime import open_onnxruntime_cpu
from ..runtimes.open import open_session
from ..runtimes.session import ProviderOptions, Session
from ..spec.signature import Signature
from .cases import make_cases
from .compare import OutputResult, judge
from .expected import Expected, judged_by, measure_standards
from .file_signature import signature_of
from .moved_weights import write_moved
from .reference import JITTERS, Reference, distance
from .report import CaseResult, Report

Array = NDArray[np.generic]

STANDARD = "onnxruntime:cpu"
_NON_FINITE = ("nan", "infinite")


@dataclass(frozen=True)
class _Standard:
    """ONNX Runtime on the CPU with the file, and with its weights moved; what the cases' inputs are made from."""

    session: Session
    moved: Sequence[Session]
    signature: Signature
    example: Mapping[str, Array] | None


def compare_runtimes(
    path: Path,
    runtime: str | None,
    *,
    inputs: Mapping[str, str] | None = None,
    example: Mapping[str, Array] | None = None,
    seed: int = 0,
    provider_options: ProviderOptions | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Run an ONNX file in a runtime and in ONNX Runtime on the CPU, on inputs drawn as for an export.

    Args:
        inputs: what an input takes, such as `float32[N, T, 161] in 0..1`, in place of what the file declares.
        example: real inputs, by name, that cases are cut from.

    Raises:
        InputError: there is no other runtime to compare, or the file does not say enough of an input.
        UnavailableError: the runtime is not there, or cannot run the file.
        BundleError: the file is not a model.
    """
    if runtime in (None, STANDARD):
        raise InputError(
            f"{path} is not a bundle, so that nothing says what PyTorch computes. Give another runtime than "
            f"{STANDARD}, such as openvino or tract, and the two are compared."
        )
    assert runtime is not None
    signature = signature_of(path, inputs or {}, example)
    session, other = open_onnxruntime_cpu(path), open_session(runtime, path, (), provider_options)
    traced = traced_sizes(signature, example)
    cases = [case for case in make_cases(signature, traced, seed) if case.values not in _NON_FINITE]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        moved = [open_onnxruntime_cpu(file) for file in write_moved(path, Path(folder), range(JITTERS))]
        standard = _Standard(session, moved, signature, example)
        for case in cases:
            found.append(_expected(standard, case))
            advance(len(found), len(cases))
    standards = measure_standards(found)
    results = [_checked(other, judged_by(standards, item)) for item in found]
    return Report(path.name, runtime, other.placement(), "tolerance", seed, traced, results)


def read_arrays(path: Path) -> Mapping[str, Array]:
    """Real inputs by name, from a file.

    Raises:
        InputError: the file is not there, cannot be read, or does not name its arrays.
    """
    found = read_example(path)
    if not isinstance(found, Mapping):
        raise InputError(f"{path} does not name its arrays. Save them by name, with numpy.savez(file, x=x).")
    return found


def _expected(standard: _Standard, case: Case) -> Expected:
    """What ONNX Runtime computes, and how far rounded inputs and weights move it."""
    inputs = make_inputs(standard.signature, case, standard.example)
    try:
        outputs = standard.session.run(inputs)
        moved = [each.run(_moved(inputs, case.seed + i)) for i, each in enumerate(standard.moved)]
    except Exception as error:  # each of its exceptions has a class of its own
        return Expected(case, inputs, None, first_line(error))
    floats = {name: array for name, array in outputs.items() if array.dtype.kind == "f"}
    unsettled = {
        name: np.any([run[name] != array for run in moved if run[name].shape == array.shape], axis=0)
        for name, array in outputs.items()
        if name not in floats
    }
    reference = Reference(
        outputs,
        None,
        spread={name: distance([run[name] for run in moved], array) for name, array in floats.items()},
        still={name: np.zeros(array.shape, bool) for name, array in floats.items()},
        unsettled=unsettled,
    )
    return Expected(case, inputs, reference)


def _moved(inputs: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """The inputs, each float by up to an ulp of itself."""
    rng = np.random.default_rng(seed)
    return {
        name: (array.astype(np.float64) * (1 + _eps(array) * rng.uniform(-1, 1, array.shape))).astype(array.dtype)
        if array.dtype.kind == "f"
        else array
        for name, array in inputs.items()
    }


def _eps(array: Array) -> float:
    return float(np.finfo(array.dtype.name).eps)


def _checked(session: Session, item: Expected) -> CaseResult:
    if item.reference is None:
        return CaseResult(item.case, (), "REFUSED", f"ONNX Runtime refuses it ({item.refused})")
    try:
        got = session.run(item.inputs)
    except Exception as error:  # each runtime raises classes of its own
        return CaseResult(item.case, (), "FAIL", f"the runtime raised {type(error).__name__}: {first_line(error)}")
    outputs = [
        _named(judge(name, got[name], array, None, item.tolerances.get(name), unsettled=_unsettled(item, name)))
        for name, array in item.reference.eager.items()
    ]
    return CaseResult(item.case, outputs, "PASS" if all(output.passed for output in outputs) else "FAIL")


def _unsettled(item: Expected, output: str) -> NDArray[np.bool_] | None:
    return None if item.reference is None else item.reference.unsettled.get(output)


def _named(result: OutputResult) -> OutputResult:
    return replace(result, reason=result.reason.replace("PyTorch", "ONNX Runtime"))


def agreement(report: Report) -> Sequence[str]:
    """The verdict in words, and what it rests on."""
    verdict = "agrees with" if report.passed else "does not agree with"
    compared = [result for result in report.cases if result.verdict != "REFUSED"]
    refused = len(report.cases) - len(compared)
    aside = f" ({refused} more refused by ONNX Runtime)" if refused else ""
    return (
        f"{report.artifact}: {report.runtime} {verdict} {STANDARD}",
        f"{len(compared)} cases{aside}, worst {report.ratio:.0%} of its limit, seed {report.seed}.",
        "Whether either computes what the model did that the file was made from, nothing here shows.",
    )
