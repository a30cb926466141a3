"""What the machine can do: matrix products per second by the fastest library, and bytes read per second.

A row's limit is the time of its products alone: of those with several rows at the rate that the fastest library reaches
on that very shape, of products with a vector at the rate at which weights are read from where they fit: a cache, or
memory. Gates, activations and the step from one to the next are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .records import Machine
from .rows import Product, Row, products
from .worker import Loaded

# As much as one call should read or compute, so that what the call itself costs does not count.
_BYTES = 2**24
_OPERATIONS = 10**7
SIZES_KIB = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 262144)
SQUARE = 1024


class Limit:
    """The measurement of one row's limit."""

    def __init__(self, row: Row) -> None:
        torch.set_num_threads(row.threads)
        found = products(row.model, row.shape)
        # In a single step all weights are read once; in a longer run those of a layer stay where they fit.
        whole = sum(product.bytes for product in found)
        self._parts = [
            _reading(product, whole) if product.rows == 1 else _multiplying(product, row.threads) for product in found
        ]

    def measure(self, seconds: float) -> float:
        """The limit in seconds, measured for about so long."""
        share = seconds / len(self._parts)
        return sum(part(share) for part in self._parts)


class LimitServer:
    """Measures the limits of rows for a parent."""

    def load(self, row: Row, folder: Path) -> Loaded:
        """Get ready for a row; the folder is not needed."""
        self._limit = Limit(row)
        return Loaded()

    def time(self, seconds: float) -> list[float]:
        """The limit in seconds."""
        return [self._limit.measure(seconds)]


def machine(threads: int, seconds: float) -> Machine:
    """The machine's own figures, each measured for about so long."""
    torch.set_num_threads(threads)
    bandwidth = {size: size * 1024 / _read(size * 1024)(seconds) for size in SIZES_KIB}
    square = Product(SQUARE, SQUARE, SQUARE, 1)
    return Machine(bandwidth, square.operations / _multiplying(square, threads)(seconds))


Part = Callable[[float], float]


def _reading(product: Product, whole: int) -> Part:
    once = _read(whole if product.count == 1 else product.bytes)
    size = whole if product.count == 1 else product.bytes
    return lambda seconds: once(seconds) * product.bytes / size * product.count


def _read(size: int) -> Part:
    """Seconds to read so many bytes: a sum over an array that is repeated, but lies in memory once."""
    repeats = max(1, _BYTES // size)
    values = torch.ones(size // 4).expand(repeats, size // 4)
    return lambda seconds: _fastest([values.sum], seconds) / repeats


def _multiplying(product: Product, threads: int) -> Part:
    """Seconds for the products by the faster of PyTorch, with the weights in either order, and ONNX Runtime.

    ONNX Runtime packs constant weights ahead, which PyTorch does with every product. NumPy's BLAS, with one thread
    nowhere the fastest, has threads of its own that PyTorch's setting does not reach.
    """
    once = 2 * product.rows * product.inner * product.columns
    repeats = max(1, _OPERATIONS // once)
    generator = np.random.default_rng(0)
    left = generator.standard_normal((repeats, product.rows, product.inner), dtype=np.float32)
    right = generator.standard_normal((product.inner, product.columns), dtype=np.float32)
    out = np.empty((repeats, product.rows, product.columns), np.float32)
    lefts, rights, outs = torch.from_numpy(left), torch.from_numpy(right), torch.from_numpy(out)
    turned = torch.from_numpy(np.ascontiguousarray(right.T)).T

    def pytorch() -> None:
        for one, into in zip(lefts, outs, strict=True):
            torch.mm(one, rights, out=into)

    def pytorch_turned() -> None:
        for one, into in zip(lefts, outs, strict=True):
            torch.mm(one, turned, out=into)

    packed = _packed(left[0], right, threads)

    def onnxruntime() -> None:
        for _ in left:
            packed()

    calls = [pytorch, pytorch_turned, onnxruntime]
    return lambda seconds: _fastest(calls, seconds) / repeats * product.count


def _packed(left: NDArray[np.float32], right: NDArray[np.float32], threads: int) -> Callable[[], object]:
    """A model of one product with a constant, input and output bound."""
    product = helper.make_node("MatMul", ["x", "weights"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, left.shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (left.shape[0], right.shape[1]))
    graph = helper.make_graph([product], "product", [x], [y], [numpy_helper.from_array(right, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin would hold the cores that PyTorch's are to read and multiply on.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("x", left)
    binding.bind_ortvalue_output(
        "y", ort.OrtValue.ortvalue_from_shape_and_type((left.shape[0], right.shape[1]), np.float32)
    )
    return partial(session.run_with_iobinding, binding)


def _fastest(calls: Sequence[Callable[[], object]], seconds: float) -> float:
    """The median seconds of the call that is fastest."""
    return min(_median(call, seconds / len(calls)) for call in calls)


def _median(call: Callable[[], object], seconds: float) -> float:
    call()
    found: list[float] = []
    end = perf_counter() + seconds
    while not found or perf_counter() < end:
        start = perf_counter()
        call()
        found.append(perf_counter() - start)
    return float(np.median(found))
