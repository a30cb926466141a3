"""Each private name of PyTorch that `torch_internals` uses exists and does what is relied upon."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from rnn_export.pytorch.run import suppress_output
from rnn_export.torch_internals import capture, control_flow, modules, onnx
from rnn_export.torch_internals import script_code as script_code_of
from torch import Tensor, nn
from torch._higher_order_ops.map import map as map_steps
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.export import Dim, ExportedProgram
from torch.nn.utils import rnn
from torch.overrides import TorchFunctionMode

_aten = torch.ops.aten


class Function(nn.Module):
    """A function of x as a model."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def exported(function: Callable[[Tensor], Any], **bounds: int) -> ExportedProgram:
    """The capture of a function of x [T, 3], with T dynamic."""
    with suppress_output(), torch.no_grad():
        return torch.export.export(
            Function(function).eval(), (torch.randn(5, 3),), dynamic_shapes=({0: Dim("T", **bounds)},), strict=False
        )


def targets(program: ExportedProgram) -> list[Any]:
    return [node.target for node in program.graph.nodes]


def decomposed(function: Callable[[Tensor], Any]) -> list[Any]:
    program = exported(function)
    with suppress_output():
        return targets(program.run_decompositions())


def refused(function: Callable[[Tensor], Any]) -> Exception:
    with pytest.raises(capture.user_error()) as error:
        exported(function)
    return error.value


class Recorder(TorchFunctionMode):
    """Every function that is called within the block."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[Any] = []

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.called.append(func)
        return func(*args, **(kwargs or {}))


def op_overload() -> None:
    assert modules.operator_name(_aten.add.Tensor) == "aten::add"
    assert modules.operator_name(len) == ""


def schema() -> None:
    assert modules.mutates(_aten.add_.Tensor)
    assert not modules.mutates(_aten.add.Tensor)
    assert modules.takes_tensor(_aten.add.Tensor, 1)
    assert not modules.takes_tensor(_aten.select.int, 1)
    assert modules.tensor_overload(_aten.gt.Scalar) is _aten.gt.Tensor


def to_copy() -> None:
    assert modules.TO_COPY in decomposed(lambda x: x.double())


def assert_tensor_metadata() -> None:
    assert modules.ASSERT_TENSOR_METADATA in targets(exported(lambda x: x.double()))


def batch_norm() -> None:
    assert modules.BATCH_NORM_INFERENCE in decomposed(nn.BatchNorm1d(3).eval())


def packed_functions() -> None:
    x, lengths = torch.randn(4, 2, 3), torch.tensor([4, 2])
    with Recorder() as recorder:
        rnn.pad_packed_sequence(rnn.pack_padded_sequence(x, lengths))
        rnn.pad_sequence([x[0], x[1]])
    assert {capture.pack_padded_sequence, capture.pad_packed_sequence, capture.pad_sequence} <= set(recorder.called)


def check() -> None:
    def sliced(x: Tensor) -> Tensor:
        size = x.sum().long().item()
        capture.check(size >= 0)
        capture.check(size <= x.size(0))
        return x.narrow(0, 0, size)

    exported(sliced)


def reference_tensor() -> None:
    program = exported(lambda x: capture.tensor_of_sizes([x.size(0), 2], None))
    assert program.module()(torch.randn(7, 3)).tolist() == [7, 2]


def fake_tolist() -> None:
    seen = []
    with capture.patched_tolist(lambda tensor, original: seen.append(original)):
        exported(lambda x: (x[:, 0].tolist(), x)[1])
    assert seen == [capture.FakeTensor.tolist]


def specialization() -> None:
    error = refused(lambda x: torch.stack([x[t] for t in range(x.size(0))]))
    assert capture.specialized_sizes(error, ["T", "N"]) == ["T"]
    assert capture.violates_constraints(error)
    assert not capture.violates_guard(error)
    assert capture.suggested_bounds(error, {"T": Dim("T")}) == {}


def suggestions() -> None:
    error = refused(lambda x: x if x.size(0) < 300 else -x)
    assert capture.violates_guard(error)
    assert capture.suggested_bounds(error, {"T": Dim("T"), "N": Dim("N", min=2)}) == {
        "T": {"max": 299},
        "N": {"min": 2},
    }


def rounded_up() -> None:
    """PyTorch suggests `T = 4*_T - 3` for a bound of T where another size is T rounded up."""
    error = refused(lambda x: in_fours(x) if x.size(0) < 300 else -x)
    assert "T = 4*_T - 3" in error.msg  # type: ignore[attr-defined]
    assert capture.suggested_bounds(error, {"T": Dim("T")}) == {}  # guards of its own are violated too
    kept = [line for line in error.msg.splitlines() if "% " not in line and "!= 1" not in line]  # type: ignore[attr-defined]
    error.msg = "\n".join(kept)  # type: ignore[attr-defined]
    assert capture.suggested_bounds(error, {"T": Dim("T")}) == {"T": {"min": 2, "max": 299}}


def in_fours(x: Tensor) -> Tensor:
    fours = (x.size(0) - 1) // 4 + 1
    padded = nn.functional.pad(x, (0, 0, 0, 4 * fours - x.size(0))).view(fours, 4, 3).flip(1)
    return padded.reshape(4 * fours, 3)[: x.size(0)]


def size_one() -> None:
    convolution = nn.Conv1d(3, 3, 3)
    error = refused(lambda x: convolution(x.T))
    assert "!= 1" in str(error)
    assert capture.suggested_bounds(error, {"T": Dim("T")}) == {"T": {"min": 3}}


def log() -> None:
    with logged() as lines:
        refused(lambda x: x if x.size(0) > 3 else -x)
        refused(lambda x: x[int(x.size(0)) - 1])
    assert any(match[1].endswith("> 3") for line in lines if (match := capture.DECIDED.match(line)))
    assert "5" in {match[1] for line in lines if (match := capture.SPECIALIZED.match(line))}


@contextmanager
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(capture.SHAPE_LOGGER)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def children() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    copied = modules.with_children(model, {"0": nn.Linear(3, 2)})
    assert copied(torch.randn(5, 3)).shape == (5, 2)
    assert model(torch.randn(5, 3)).shape == (5, 4)


def flat_weights() -> None:
    layer = nn.GRU(3, 4)
    del layer._flat_weights
    modules.flatten_weights(layer)
    assert layer(torch.randn(5, 2, 3))[0].shape == (5, 2, 4)


class Scaled(nn.Module):
    __constants__ = ("factor",)

    def __init__(self) -> None:
        super().__init__()
        self.factor = 3
        self.name = "scaled"

    def forward(self, x: Tensor, scale: int = 2) -> Tensor:
        return x * scale * self.factor


def script_record() -> None:
    with suppress_output():
        scripted = torch.jit.script(Scaled())
    assert modules.scripted_class(scripted) is Scaled
    assert {"factor", "name"} <= set(modules.scripted_attributes(scripted))
    assert [argument.name for argument in modules.scripted_arguments(scripted)] == ["x", "scale"]


def script_file() -> None:
    with suppress_output():
        archive = io.BytesIO()
        torch.jit.save(torch.jit.script(nn.GRU(3, 4)), archive)
        archive.seek(0)
        assert modules.scripted_class(torch.jit.load(archive)) is nn.GRU


def script_code() -> None:
    with suppress_output():
        code = script_code_of.ScriptCode(torch.jit.script(Scaled()))
        frozen = torch.jit.freeze(torch.jit.script(Scaled()).eval())
    function = code.function(f"{script_code_of.kind_of(code.root)}.forward")
    assert function is not None
    assert function.has_self
    assert list(function.defaults) == [2]
    mul = next(node for node in function.body.nodes if node.kind == "aten::mul")
    assert (mul.overload, mul.arguments[1].type, mul.inputs[0].kind) == ("Scalar", "number", "TensorType")
    assert mul.place is not None
    assert mul.place[0] == __file__
    assert not modules.is_scripted_here(frozen)
    assert not script_code_of.has_hooks(modules.with_record(frozen))


def real_tensors() -> None:
    with FakeTensorMode():
        assert isinstance(torch.ones(2), FakeTensor)
        with modules.outside_capture():
            assert not isinstance(torch.ones(2), FakeTensor)


def traced_classes() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = torch.jit.trace(Function(lambda x: x * int(x.sum())), torch.ones(5, 3))
    assert isinstance(traced, modules.TRACED)
    assert modules.TracerWarning in {warning.category for warning in caught}


def scripted_weights() -> None:
    with suppress_output():
        scripted, traced = torch.jit.script(nn.GRU(3, 4)), torch.jit.trace(nn.GRU(3, 4), torch.randn(5, 2, 3))
    assert modules.lists_weights(scripted)
    assert not modules.lists_weights(traced)


def compiled_module() -> None:
    model = nn.Tanh()
    with suppress_output():
        assert getattr(torch.compile(model), modules.COMPILED_MODULE) is model


def compiling() -> None:
    x = torch.ones(2)
    with control_flow.replaced_operators({control_flow.COND: lambda *_: "called", control_flow.MAP: lambda *_: [x]}):
        assert torch.cond(x.sum() > 5, torch.cos, torch.sin, (x,)) == "called"
        assert map_steps(torch.sin, x) == [x]


def pytree() -> None:
    leaves, form = modules.tree_flatten({"a": (1, [2])})
    assert (leaves, modules.tree_leaves({"a": (1, [2])})) == ([1, 2], [1, 2])
    assert modules.tree_unflatten([3, 4], form) == {"a": (3, [4])}
    assert modules.tree_map(str, (1, [2])) == ("1", ["2"])
    assert modules.tree_structure({"a": (5, [6])}) == form
    assert modules.is_pytree_node(dict)
    assert not modules.is_pytree_node(Function)


def dispatch_mode() -> None:
    seen = []

    class Mode(modules.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(func)
            return func(*args, **(kwargs or {}))

    with Mode():
        torch.zeros(3).tanh()
    assert _aten.tanh.default in seen


def translated(function: Callable[[Tensor], Any]) -> list[str]:
    program = exported(function)
    with suppress_output():
        result = torch.onnx.export(program, dynamo=True, opset_version=18, optimize=False, verbose=False)
    assert result is not None
    return [node.op_type for node in result.model.graph]


def registry() -> None:
    from onnxscript import opset18 as op

    with onnx.patched_translations(without={"aten::tanh"}, custom={_aten.tanh.default: op.Sigmoid}):
        assert translated(torch.tanh) == ["Sigmoid"]
    assert translated(torch.tanh) == ["Tanh"]


def failing_node() -> None:
    with pytest.raises(torch.onnx.errors.OnnxExporterError) as error:
        translated(torch.special.bessel_j0)
    node = onnx.failed_node(error.value)
    assert node is not None
    assert modules.operator_name(node.target).endswith("bessel_j0")


def python_constants() -> None:
    seen = []

    def convert(operator: str, inputs: dict[str, Any]) -> dict[str, Any]:
        seen.append((operator, *inputs.values()))
        return inputs

    with onnx.patched_constants(convert):
        translated(lambda x: x * 0.5)
    assert any(0.5 in values for _, *values in seen)


# What is relied upon, and what to do when it is gone.
NAMES = {
    "torch._ops.OpOverload": (op_overload, "type(torch.ops.aten.add.Tensor) is the class of captured operators"),
    "OpOverload._schema": (schema, "read whether an operator mutates, and the types of its arguments, elsewhere"),
    "aten._to_copy": (to_copy, "find what `x.double()` is decomposed into"),
    "aten._assert_tensor_metadata": (assert_tensor_metadata, "find which check torch.export adds to `x.double()`"),
    "aten._native_batch_norm_legit_no_training": (batch_norm, "find what an evaluated BatchNorm1d is decomposed into"),
    "torch._VF, torch._C._nn": (packed_functions, "find what torch.nn.utils.rnn calls"),
    "torch._check": (check, "find how PyTorch is told a fact about sizes"),
    "torch._refs.tensor": (reference_tensor, "make a tensor of symbolic sizes in another way"),
    "FakeTensor.tolist": (fake_tolist, "find what `tolist` is while torch.export runs"),
    "torch._dynamo.exc.UserError": (specialization, "find what torch.export raises, and the words for a number"),
    "Suggested fixes": (suggestions, "find how torch.export suggests bounds"),
    "!= 1": (size_one, "find what torch.export says of a size that may not be 1"),
    "4*_T": (rounded_up, "take bounds from what is violated, where PyTorch suggests a straight line"),
    "torch.fx.experimental.symbolic_shapes": (log, "find how the shape environment logs what it decides"),
    "Module._modules": (children, "copy a module with other children in another way"),
    "RNNBase._init_flat_weights": (flat_weights, "have a recurrent layer list its weights in another way"),
    "ScriptModule._concrete_type": (script_record, "find how TorchScript records class, attributes and arguments"),
    "ScriptModule._c": (script_file, "find how a TorchScript file names a class"),
    "CompilationUnit, Graph, Node, Value": (script_code, "find how TorchScript shows the code of a module"),
    "_disable_current_modes": (real_tensors, "compute with real tensors while a model is captured in another way"),
    "torch.jit._trace": (traced_classes, "find the classes of a traced module and of the tracer's warnings"),
    "RNNBase._flat_weights_names": (scripted_weights, "tell a scripted recurrent layer from a trace in another way"),
    "OptimizedModule._orig_mod": (compiled_module, "find where torch.compile keeps the module"),
    "setup_compilation_env": (compiling, "find within what torch.cond and its like call torch.compile"),
    "torch.utils._pytree": (pytree, "see whether torch.utils.pytree is public by now"),
    "torch.utils._python_dispatch": (dispatch_mode, "see whether TorchDispatchMode is public by now"),
    "ONNXRegistry.from_torchlib": (registry, "find how torch.onnx.export builds its table of translations"),
    "_core: frame.f_locals['node']": (failing_node, "find how torch.onnx.export says at which node it failed"),
    "_building._process_python_constants": (python_constants, "find where numbers become Constant nodes"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_private_name_is_what_is_relied_upon(name: str) -> None:
    relied_upon, remedy = NAMES[name]
    try:
        relied_upon()
    except (Exception, pytest.fail.Exception) as error:
        pytest.fail(f"{name} of PyTorch {torch.__version__} has changed ({error!r}): {remedy}, in torch_internals/.")


def test_a_view_is_known_as_one() -> None:
    whole = torch.zeros(4)
    assert modules.is_view(whole[1:])
    assert not modules.is_view(whole)


def test_buffers_are_those_that_a_module_reads() -> None:
    module = nn.BatchNorm1d(3)
    modules.buffers_of(module)["running_mean"] = torch.ones(3)
    assert module.running_mean is not None
    assert module.running_mean.sum() == 3
