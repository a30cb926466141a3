"""What can run a row: each engine with the settings that suit it best, as a call without arguments."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .files import CASE, STATEFUL, place, why
from .rows import Row

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]
# Runs the model once and gives its outputs in order: PyTorch's tensors are turned into arrays only for the comparison.
Call = Callable[[], Sequence[Any]]
FLOAT32_TOLERANCE = 1e-4
INT8_TOLERANCE = 0.1


@dataclass(frozen=True)
class Task:
    """A row, where the files are, and the row's inputs; `carried` says which output a state's input takes next."""

    row: Row
    folder: Path
    inputs: Arrays
    carried: Mapping[str, int]

    def file(self, way: str) -> Path:
        path = place(self.folder, self.row.model, self.row.shape, way)
        if not path.exists():
            raise FileNotFoundError(why(path).read_text() if why(path).exists() else f"there is no {way}")
        return path / "model.onnx" if path.is_dir() else path


@dataclass(frozen=True)
class Engine:
    """An engine under the name that the tables give it.

    `forms` are the ways in which it can take a model, by what the page calls them: of those that are right the one that
    is fastest is timed. `ways` are the files that these need. `tolerance` is the largest difference from eager PyTorch,
    relative to the largest value, that is still called right.
    """

    name: str
    forms: Mapping[str, Callable[[Task], Call]]
    ways: tuple[str, ...] = ()
    tolerance: float = FLOAT32_TOLERANCE
    one_step_only: bool = False


def read_case(row: Row, folder: Path) -> tuple[Task, list[Array]]:
    """What is to be run, and the outputs of eager PyTorch; states are carried where a row is one step of a stream."""
    with np.load(place(folder, row.model, row.shape, CASE)) as stored:
        inputs = {name[3:]: stored[name] for name in stored.files if name.startswith("in.")}
        outputs = [stored[name] for name in stored.files if name.startswith("out.")]
        carried = {name[5:]: int(stored[name]) for name in stored.files if name.startswith("next.")}
    return Task(row, folder, inputs, carried if row.shape.is_one_step else {}), outputs


def eager(task: Task) -> Call:
    """The model as it is, in `torch.inference_mode`."""
    return _torch_call(task, lambda module: module)


def scripted(task: Task, *, optimized: bool) -> Call:
    """`torch.jit.script`, `freeze` and, with `optimized`, `optimize_for_inference`."""
    return _torch_call(task, partial(_freeze, optimized=optimized))


def _freeze(module: nn.Module, *, optimized: bool) -> nn.Module:
    import torch

    frozen: torch.jit.ScriptModule = torch.jit.freeze(torch.jit.script(module))
    return torch.jit.optimize_for_inference(frozen) if optimized else frozen


def _torch_call(task: Task, prepare: Callable[[nn.Module], nn.Module]) -> Call:
    import torch

    from .networks import build, flat

    torch.set_num_threads(task.row.threads)
    shape = task.row.shape
    module = prepare(build(task.row.model, shape, carries=shape.is_one_step).module)
    inputs = {name: torch.from_numpy(array) for name, array in task.inputs.items()}

    def call(values: dict[str, torch.Tensor]) -> Sequence[Any]:
        with torch.inference_mode():
            return flat(module(*values.values()))

    return _carrying(task, call, inputs)


def _carrying(task: Task, run: Callable[[dict[str, Any]], Sequence[Any]], inputs: dict[str, Any]) -> Call:
    """Feeds each time the states that the last run has returned, if the row carries any."""
    if not task.carried:
        return partial(run, inputs)
    carried = list(task.carried.items())

    def call() -> Sequence[Any]:
        outputs = run(inputs)
        for name, index in carried:
            inputs[name] = outputs[index]
        return outputs

    return call


def onnxruntime(task: Task, *, way: str) -> Call:
    """ONNX Runtime on its CPU provider, with as many threads as the row has and else as it is by default."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = task.row.threads
    options.log_severity_level = 4
    session = ort.InferenceSession(str(task.file(way)), options, providers=["CPUExecutionProvider"])
    names = {value.name for value in session.get_inputs()}
    feeds = {name: array for name, array in task.inputs.items() if name in names}
    return _carrying(task, partial(session.run, None), feeds)


def openvino(task: Task, *, way: str) -> Call:
    """OpenVINO for low latency, without copies, and in float32 where it would take bfloat16 by default.

    What one request gives lies in its memory, so that two take turns where the next one reads that.
    """
    import openvino as ov

    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": task.row.threads,
    }
    compiled = ov.Core().compile_model(str(task.file(way)), "CPU", properties)
    requests = itertools.cycle(compiled.create_infer_request() for _ in range(2 if task.carried else 1))
    names = {name for value in compiled.inputs for name in value.names}
    feeds = {name: array for name, array in task.inputs.items() if name in names}

    def call(values: dict[str, Any]) -> Sequence[Any]:
        return list(next(requests).infer(values, share_inputs=True, share_outputs=True).values())

    return _carrying(task, call, feeds)


def stream(task: Task) -> Call:
    """`rnn_export.Stream`, which keeps the states itself."""
    import rnn_export

    step = rnn_export.Stream(task.file(STATEFUL).parent).step
    arrays = [_without_time(name, array) for name, array in task.inputs.items() if name not in task.carried]

    def call() -> Sequence[Any]:
        output = step(*arrays)
        return list(output.values()) if isinstance(output, dict) else [output]

    return call


def _without_time(name: str, array: Array) -> Array:
    return array[:, 0] if name == "tokens" else array[0]


INT8 = "ours, int8"
_ALL = (
    Engine("eager", {"": eager}),
    Engine(
        "torch.jit",
        {
            "frozen": partial(scripted, optimized=False),
            "frozen and optimised for inference": partial(scripted, optimized=True),
        },
    ),
    Engine("deprecated exporter", {"": partial(onnxruntime, way="deprecated.onnx")}, ("deprecated.onnx",)),
    Engine(
        "dynamo exporter",
        {
            "T and N dynamic": partial(onnxruntime, way="dynamo.onnx"),
            "T and N fixed": partial(onnxruntime, way="dynamo-fixed.onnx"),
        },
        ("dynamo.onnx", "dynamo-fixed.onnx"),
    ),
    Engine(
        "OpenVINO",
        {
            "our file": partial(openvino, way="ours"),
            "the deprecated exporter's file": partial(openvino, way="deprecated.onnx"),
        },
        ("ours", "deprecated.onnx"),
    ),
    Engine("ours", {"": partial(onnxruntime, way="ours")}, ("ours",)),
    Engine(INT8, {"": partial(onnxruntime, way="ours-int8")}, ("ours-int8",), INT8_TOLERANCE),
    Engine("ours, Stream", {"": stream}, (STATEFUL,), one_step_only=True),
    # For whoever works on the choice between them; asked for by name.
    Engine("native", {"": partial(onnxruntime, way="ours-native")}, ("ours-native",)),
    Engine("scan", {"": partial(onnxruntime, way="ours-scan")}, ("ours-scan",)),
)
ENGINES: Mapping[str, Engine] = MappingProxyType({engine.name: engine for engine in _ALL})
FLOAT32_OWN = ("ours", "ours, Stream")
OWN = (*FLOAT32_OWN, INT8, "native", "scan")
DEFAULT = tuple(name for name in ENGINES if name not in ("native", "scan"))


def difference(outputs: Sequence[Any], expected: Sequence[Array]) -> float:
    """The largest difference from what is expected, relative to the largest value; infinite where a shape differs.

    A stream returns no states and no time dimension: it is compared by its first output, element by element.
    """
    worst = 0.0
    for output, array in zip(outputs, expected, strict=False):
        found = np.asarray(output)
        if found.size != array.size or not np.isfinite(found).all():
            return float("inf")
        worst = max(worst, float(np.abs(found.reshape(array.shape) - array).max() / np.abs(array).max()))
    return worst
