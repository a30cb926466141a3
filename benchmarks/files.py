"""The files that the engines load: each model exported in every way, each export in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .records import Written
from .rows import Model, Shape

if TYPE_CHECKING:
    from torch.export import Dim

    from .networks import Network

CASE = "case.npz"
# Written for one T and N.
FIXED = (CASE, "dynamo-fixed.onnx")
# The exporter itself finds the states of a model that hides them.
STATEFUL = "ours-stateful"
SECONDS = 40
JOBS = 2
# Imported once, in the process that the others are forked from.
_PRELOADED = ["torch", "torch.onnx", "onnxscript", "onnxruntime", "rnn_export.export", "benchmarks.networks"]


Way = Callable[["Network", Path], str]


def case(network: Network, path: Path) -> str:
    """Inputs, what eager PyTorch makes of them, and by number the output that a state's input takes next."""
    import numpy as np
    import torch

    from .networks import flat

    with torch.inference_mode():
        expected = flat(network.module(*network.inputs.values()))
    arrays: dict[str, Any] = {f"in.{name}": array for name, array in network.arrays().items()}
    arrays |= {f"out.{index}": tensor.numpy() for index, tensor in enumerate(expected)}
    outputs = list(network.signature.outputs)
    arrays |= {f"next.{before}": outputs.index(after) for before, after in network.signature.states.items()}
    np.savez(path, **arrays)
    return ""


def deprecated(network: Network, path: Path) -> str:
    """`torch.onnx.export(dynamo=False)`; a Python loop over time has to be scripted first, or its length is fixed."""
    import torch
    from rnn_export.models.scratch import ScratchRNN

    is_loop = isinstance(network.module, ScratchRNN)
    signature = network.signature
    torch.onnx.export(
        torch.jit.script(network.module) if is_loop else network.module,
        tuple(network.inputs.values()),
        path,
        dynamo=False,
        input_names=list(network.inputs),
        output_names=list(signature.outputs),
        dynamic_axes={
            name: {axis: dim for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
            for name, spec in signature.inputs.items()
        },
    )
    return "scripted" if is_loop else ""


def dynamo(network: Network, path: Path) -> str:
    """`torch.onnx.export` as it is by default, with T and N dynamic."""
    from torch.export import Dim

    shapes = tuple(
        {axis: Dim(dim) for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
        for spec in network.signature.inputs.values()
    )
    _dynamo(network, path, shapes)
    return "T and N dynamic"


def dynamo_fixed(network: Network, path: Path) -> str:
    """The same with T and N fixed: right at the sizes of one row and at no others."""
    _dynamo(network, path, None)
    return "T and N fixed"


def _dynamo(network: Network, path: Path, shapes: tuple[dict[int, Dim], ...] | None) -> None:
    import torch

    torch.onnx.export(
        network.module,
        tuple(network.inputs.values()),
        path,
        dynamo=True,
        input_names=list(network.inputs),
        output_names=list(network.signature.outputs),
        dynamic_shapes=shapes,
    )


def ours(network: Network, path: Path, **options: Any) -> str:
    """`rnn_export.export_onnx`."""
    from rnn_export import export_onnx

    export_onnx(network.module, network.signature, path, verify=False, **options)
    return ""


WAYS: Mapping[str, Way] = MappingProxyType(
    {
        CASE: case,
        "deprecated.onnx": deprecated,
        "dynamo.onnx": dynamo,
        "dynamo-fixed.onnx": dynamo_fixed,
        "ours": ours,
        "ours-int8": lambda network, path: ours(network, path, quantize="int8"),
        STATEFUL: lambda network, path: ours(network, path, stateful=True),
        "ours-native": lambda network, path: ours(network, path, lowering="native"),
        "ours-scan": lambda network, path: ours(network, path, lowering="scan"),
    }
)


@dataclass(frozen=True)
class _Wanted:
    """A model, the shape of its example inputs, and whether it takes its states and returns them."""

    model: Model
    shape: Shape
    carries: bool


def place(folder: Path, model: Model, shape: Shape, way: str) -> Path:
    """Where a file lies: what holds at any T and N in one place for all of them, but for a model that carries."""
    whole = folder / f"{model}-I{shape.I}-H{shape.H}-L{shape.L}{'-carrying' if shape.is_one_step else ''}"
    return whole / f"T{shape.T}-N{shape.N}" / way if way in FIXED else whole / way


def write_all(
    folder: Path, models: Sequence[tuple[Model, Shape]], ways: Sequence[str]
) -> Iterator[tuple[Path, Written]]:
    """Each model in each way, as each is done; what holds at any T and N is exported at others than the row's."""
    wanted = {
        place(folder, model, shape, way): _Wanted(
            model, shape if way in FIXED else replace(shape, T=7, N=5), shape.is_one_step and way != STATEFUL
        )
        for model, shape in models
        for way in ways
        if way != STATEFUL or shape.is_one_step
    }
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with ThreadPoolExecutor(JOBS) as pool:
        futures = {pool.submit(_write_apart, context, one, path): path for path, one in wanted.items()}
        for future in as_completed(futures):
            path, written = futures[future], future.result()
            if written.reason:
                why(path).write_text(written.reason)
            yield path, written


def why(path: Path) -> Path:
    """Where it is written why there is no such file."""
    return path.with_name(f"{path.name}.why")


def _write_apart(context: ForkServerContext, wanted: _Wanted, path: Path) -> Written:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_write, args=(wanted, path, sender))
    process.start()
    sender.close()
    try:
        written: Written = receiver.recv() if receiver.poll(SECONDS) else Written(reason=f"no end in {SECONDS} seconds")
        return written
    except EOFError:
        process.join()
        return Written(reason=f"the process died with exit code {process.exitcode}")
    finally:
        process.kill()
        process.join()


def _write(wanted: _Wanted, path: Path, sender: Connection) -> None:
    from rnn_export.errors import first_line

    from .networks import build

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the exporters print from C++, past Python's own streams
    os.dup2(nowhere, 2)
    network = build(wanted.model, wanted.shape, carries=wanted.carries)
    path.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        note = WAYS[path.name](network, path)
    except Exception as error:  # the exporters raise whatever the captured code raises
        sender.send(Written(reason=f"{type(error).__name__}: {first_line(error)}"))
        return
    seconds = time.perf_counter() - start
    files = path.glob("model.onnx*") if path.is_dir() else path.parent.glob(f"{path.name}*")
    sender.send(Written(sum(file.stat().st_size for file in files), seconds, note=note))
