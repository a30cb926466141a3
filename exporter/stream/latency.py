"""Time single steps of a stream, beside how fast this machine can read the weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..bundle.manifest import read_manifest
from ..errors import InputError
from ..onnx_file import all_graphs, read_onnx
from ..spec.signature import TensorSpec
from .session import streaming
from .stream import Array, Stream

_WARM_UP = 200

# So many different inputs take turns.
_VALUES = 64

# Progress is told every so many steps.
_TOLD = 1000

# Below so many bytes it is the call of numpy that takes the time, and not the reading.
_LEAST_READ = 2**18
_READS = 200

# A dot product of so many numbers stays in one thread of a BLAS.
_BLOCK = 4096


@dataclass(frozen=True)
class Latency:
    """Single steps of one stream.

    `p50`, `p99` and `p999` are percentiles of a step's time in seconds, over `steps`. `weight_bytes` is what every step
    reads of weights; tables that a step looks a row up in are left out. `read_rate` is how many bytes per second one
    core of this machine reads from an array of that size, or of 256 KiB where that is more.
    """

    sizes: Mapping[str, int]
    steps: int
    p50: float
    p99: float
    p999: float
    weight_bytes: int
    read_rate: float

    @property
    def steps_per_second(self) -> float:
        return 1 / self.p50

    @property
    def weight_rate(self) -> float:
        """Bytes of weights per second, at the median."""
        return self.weight_bytes / self.p50

    @property
    def limit(self) -> float:
        """Seconds that reading the weights once takes."""
        return self.weight_bytes / self.read_rate

    def to_json(self) -> dict[str, Any]:
        derived = ("steps_per_second", "weight_rate", "limit")
        return {**vars(self), "sizes": dict(self.sizes), **{name: getattr(self, name) for name in derived}}


def measure_latency(
    bundle: str | Path,
    *,
    sizes: Mapping[str, int] | None = None,
    steps: int = 10_000,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Latency:
    """Time single steps of random values, each by itself.

    Args:
        sizes: as for `Stream`.
        progress: called with "steps", and how many steps are done out of how many.

    Raises:
        BundleError, InputError: as for `Stream`; also where `steps` is below 1.
    """
    if steps < 1:
        raise InputError(f"{steps} steps cannot be timed. Give 1 or more.")
    stream = Stream(bundle, sizes=sizes)
    times = _time_steps(stream, steps, progress)
    p50, p99, p999 = (float(value) / 1e9 for value in np.percentile(times, [50, 99, 99.9]))
    weights = weight_bytes(Path(bundle) / streaming(Path(bundle), read_manifest(Path(bundle)))[0])
    return Latency(stream.sizes, steps, p50, p99, p999, weights, read_rate(weights))


def _time_steps(stream: Stream, steps: int, progress: Callable[[str, int, int], None]) -> list[int]:
    """Nanoseconds of each step, after a warm-up."""
    random = np.random.default_rng(0)
    given = [_random_step(stream, random) for _ in range(_VALUES)]
    times = []
    for k in range(-_WARM_UP, steps):
        if k % _TOLD == 0:
            progress("steps", max(k, 0), steps)
        x = given[k % _VALUES]
        begin = time.perf_counter_ns()
        stream.step(**x)
        times.append(time.perf_counter_ns() - begin)
    return times[_WARM_UP:]


def _random_step(stream: Stream, random: np.random.Generator) -> dict[str, Array]:
    sizes = {**stream.time_of_a_step, **stream.sizes}
    return {name: _random(spec, sizes, random) for name, spec in stream.inputs.items()}


def _random(spec: TensorSpec, sizes: Mapping[str, int], random: np.random.Generator) -> Array:
    """Ordinary numbers, or integers over their range; 0 and 1 where there is none."""
    shape = spec.sized(sizes)
    if spec.is_float:
        drawn = random.standard_normal(shape)
        return (np.clip(drawn, *spec.floats.ends(spec.dtype)) if spec.floats else drawn).astype(spec.dtype)
    low, high = spec.range or (0, 1)
    return random.integers(low, int(high) + 1, shape).astype(spec.dtype)


def weight_bytes(file: Path) -> int:
    """Bytes of all weights in an ONNX file, without tables that rows are looked up in."""
    graphs = [*all_graphs(read_onnx(file, weights=False).graph)]
    tables = {node.input[0] for graph in graphs for node in graph.node if node.op_type == "Gather"}
    return sum(
        prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for graph in graphs
        for tensor in graph.initializer
        if tensor.name not in tables
    )


def read_rate(size: int) -> float:
    """Bytes per second at which one core reads an array of so many bytes, again and again: the faster of two ways."""
    many = max(size, _LEAST_READ) // (8 * _BLOCK) * _BLOCK
    array = np.ones(2 * many, np.float32)
    left, right = array[:many].reshape(-1, 1, _BLOCK), array[many:].reshape(-1, _BLOCK, 1)
    return array.nbytes / min(_median_time(array.max), _median_time(lambda: np.matmul(left, right)))


def _median_time(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(_READS):
        begin = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begin)
    return float(np.median(times)) / 1e9
