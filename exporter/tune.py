"""Time a model's layers in each form on this machine, and choose the fastest."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

from .errors import InputError, did_you_mean
from .lowering.forms import forms_to_time
from .lowering.lower import OnnxGraph
from .onnx_file import write_onnx
from .pytorch.job import ExportJob
from .pytorch.samples import Case
from .runtimes.onnxruntime import open_onnxruntime_cpu
from .runtimes.session import Session
from .spec.forms import Form, Forms, Lowering, Target, Timing
from .spec.signature import Signature

Sizes = Mapping[str, int]

# Each candidate runs this long in a round, and the candidates take turns, so that what else the machine does hits all.
_ROUNDS = 7
_SECONDS = 0.05


def check_tuning(signature: Signature, tune: Sequence[Sizes], lowering: Lowering) -> None:
    """Refuse sizes that do not say how large every dynamic dimension is, and a form that is given besides.

    Raises:
        InputError: they are not a list of sizes, a dimension is missing, unknown, or below 1, or there is nothing to
            choose.
    """
    if not _is_list_of_sizes(tune):
        raise InputError(
            f"tune is {tune!r}, and not a list of sizes. Give it as [{{'T': 1, 'N': 1}}], in whole numbers."
        )
    if tune and lowering != "auto":
        raise InputError(f"Tuning chooses between forms, and the form is given as {lowering}. Leave one of them out.")
    for sizes in tune:
        for name, size in sizes.items():
            if name not in signature.symbols:
                near, known = did_you_mean(name, signature.symbols), ", ".join(signature.symbols) or "none"
                raise InputError(f"The model has no dimension '{name}' to tune for.{near} It has {known}.")
            if size < 1:
                raise InputError(f"The size {name}={size} cannot be timed. Give a whole number of at least 1.")
        missing = [name for name in signature.symbols if name not in sizes]
        if missing:
            given = ",".join([*(f"{name}={size}" for name, size in sizes.items()), *(f"{name}=1" for name in missing)])
            raise InputError(f"The size of {missing[0]} is missing. Give every dynamic dimension, such as '{given}'.")


def _is_list_of_sizes(tune: Any) -> bool:
    return isinstance(tune, (list, tuple)) and all(
        isinstance(sizes, Mapping) and all(type(each) is int for each in sizes.values()) for sizes in tune
    )


def fastest(
    build: Callable[..., OnnxGraph],
    forms: Forms,
    job: ExportJob,
    tune: Sequence[Sizes],
    *,
    int8: bool,
    target: Target,
    opset: int,
) -> tuple[OnnxGraph, list[Timing]]:
    """The graph whose layers have the forms that are the fastest over all of these sizes, and what was timed.

    Every combination of forms is tried for the kinds of layers that the model has. The fastest is the one with the
    smallest product of times, so that each size counts the same. Sessions have ONNX Runtime's own number of threads.
    Without sizes nothing is timed, and the layers have the forms that are given.

    Raises:
        InputError: a size is too large for this machine's memory.
    """
    if not tune:
        return build(forms, int8=int8), []
    graphs = list(
        _candidates(partial(build, int8=int8), forms, partial(forms_to_time, target=target, opset=opset, int8=int8))
    )
    timings: list[Timing] = []
    with tempfile.TemporaryDirectory() as folder:
        sessions = [_open(graph, Path(folder) / f"{i}.onnx") for i, graph in enumerate(graphs)]
        for sizes in tune:
            job.progress("tune", len(timings), len(tune))
            runs = {
                _label(graph.forms): _run(graph, session, job, sizes)
                for graph, session in zip(graphs, sessions, strict=True)
            }
            milliseconds = {label: 1e3 * seconds for label, seconds in _medians(runs).items()}
            timings.append(Timing(dict(sizes), milliseconds))
    best = min(graphs, key=lambda graph: prod(timing.milliseconds[_label(graph.forms)] for timing in timings))
    return best, timings


def _candidates(
    build: Callable[[Forms], OnnxGraph], forms: Forms, forms_of: Callable[..., tuple[Form, ...]]
) -> Iterator[OnnxGraph]:
    first = build(forms)
    yield first
    for chosen in product(*(forms_of(kind, stateful=first.stream is not None) for kind in first.forms)):
        other = dict(zip(first.forms, chosen, strict=True))
        if other != first.forms:
            yield build({**forms, **other})


def _label(forms: Forms) -> str:
    return ", ".join(f"{kind} {form}" for kind, form in forms.items())


def _open(graph: OnnxGraph, file: Path) -> Session:
    write_onnx(graph.model, file)
    return open_onnxruntime_cpu(file)


def _run(graph: OnnxGraph, session: Session, job: ExportJob, sizes: Sizes) -> Callable[[], Any]:
    try:
        inputs = job.inputs(Case(dict(sizes), "ordinary", job.seed))
    except (MemoryError, ValueError, OverflowError) as error:  # numpy's for a shape beyond memory, or beyond addresses
        given = ",".join(f"{name}={size}" for name, size in sizes.items())
        raise InputError(f"There is not enough memory for {given}. Give smaller sizes in tune.") from error
    states = {} if graph.stream is None else {state.name: state.initial(sizes) for state in graph.stream.states}
    return partial(session.run, {**states, **inputs})


def _medians(runs: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of one run of each, medians over rounds in which each has its turn."""
    for run in runs.values():  # the first run of a session is slower than the others
        run()
    counts = {label: max(1, int(_SECONDS / _seconds(run, 1))) for label, run in runs.items()}
    rounds = [{label: _seconds(run, counts[label]) for label, run in runs.items()} for _ in range(_ROUNDS)]
    return {label: median(each[label] for each in rounds) for label in runs}


def _seconds(run: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count
