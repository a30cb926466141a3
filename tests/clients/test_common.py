"""What the clients in C++ share, in a client that returns its inputs, built with sanitizers: see `echo`."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from msgspec import to_builtins
from msgspec.structs import asdict
from numpy.typing import NDArray
from rnn_export.bundle.files import hash_file
from rnn_export.bundle.manifest import FORMAT
from rnn_export.parity.compare import judge
from rnn_export.parity.limits import Tolerance
from rnn_export.spec.streams import State
from safetensors import SafetensorError

from clients.programs import ROOT, Ended, execute

Array = NDArray[Any]
Run = Callable[..., Ended]
FLOATS = ("float16", "float32", "float64")
DTYPES = (*FLOATS, "int32", "int64", "bool")


@pytest.fixture(scope="session")
def echo() -> Run:
    out = ROOT / "build" / "clients" / "echo"
    for command in (["cmake", "-S", Path(__file__).parent / "echo", "-B", out], ["cmake", "--build", out]):
        subprocess.run(command, check=True, capture_output=True)
    found = {"ASAN_OPTIONS": "exitcode=99:allocator_may_return_null=1", "UBSAN_OPTIONS": "exitcode=99"}
    return lambda *arguments: execute(out / "echo", *arguments, **found)


LIMITS = "limits/model.onnx"


def write_bundle(folder: Path, dtype: str, dims: list[str], cases: dict[str, dict[str, Array]], **more: Any) -> Path:
    """A bundle whose model returns its one input `x`; `cases` hold inputs, outputs, references and limits.

    Limits of floating-point outputs are 0 where none are given. More are `stream`, `precision`, and the `values` of all
    cases.
    """
    folder.mkdir()
    tensors = {
        f"{case}/{part}/x": np.ascontiguousarray(array)
        for case, parts in cases.items()
        for part, array in (no_room(parts["outputs"]) | parts).items()
    }
    safetensors.numpy.save_file(tensors, folder / "cases.safetensors")
    (folder / "model.onnx").touch()
    manifest = {
        "format": FORMAT,
        "inputs": {"x": {"dtype": dtype, "shape": dims}},
        "outputs": {"x": f"{dtype}[{', '.join(map(str, dims))}]"},
        "artifacts": {"model.onnx": {"stream": more.get("stream"), "precision": more.get("precision")}},
        "files": {name: asdict(hash_file(folder / name)) for name in ("model.onnx", "cases.safetensors")},
        "cases": [{"name": case, "values": more.get("values", "ordinary")} for case in cases],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def no_room(outputs: Array) -> dict[str, Array]:
    return {LIMITS: np.zeros(outputs.shape)} if outputs.dtype.kind == "f" else {}


def draw(random: np.random.Generator, dtype: str) -> dict[str, Array]:
    """A runtime's output, PyTorch's and the reference: near one another, here and there with NaN or infinity."""
    shape = tuple(random.integers(1, 5, 2))
    exact = random.standard_normal(shape) * 10.0 ** random.integers(-3, 3)
    if dtype not in FLOATS:
        eager = (exact * 3).astype(dtype)
        got = np.where(random.random(shape) < 0.05, ~eager, eager)
        return {"inputs": got, "outputs": eager}
    eps = float(np.finfo(dtype).eps)
    off = 10.0 ** random.uniform(-1, 5) * eps * max(float(np.abs(exact).max(initial=0)), 1e-3)
    same = random.random(shape) < 0.3
    exact = np.where(same, exact.astype(dtype), exact)
    got = np.where(same, exact, exact + off * random.standard_normal(shape))
    with np.errstate(over="ignore"):
        parts = {"inputs": got.astype(dtype), "outputs": exact.astype(dtype), "reference": exact}
    if random.random() < 0.3 and exact.size:
        where = tuple(random.integers(0, shape))
        for part in parts if random.random() < 0.7 else ["inputs"]:
            parts[part][where] = random.choice([np.nan, np.inf, -np.inf]) if random.random() < 0.5 else np.nan
    return parts


def draw_limits(random: np.random.Generator, parts: dict[str, Array]) -> Array:
    """Most are beyond the errors; some are below, 0 or infinite."""
    with np.errstate(invalid="ignore"):
        errors = np.abs(parts["inputs"] - parts.get("reference", parts["outputs"]).astype(np.float64))
    limits = np.nan_to_num(errors, posinf=1.0) * 10.0 ** random.uniform(-0.02, 2, errors.shape)
    limits[(errors == 0) & (random.random(errors.shape) < 0.5)] = 1e-300
    limits[random.random(errors.shape) < 0.02] = 0.0
    limits[random.random(errors.shape) < 0.02] = np.inf
    return limits


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_judges_as_python_does(dtype: str, exact: bool, echo: Run, tmp_path: Path) -> None:
    random = np.random.default_rng([DTYPES.index(dtype), exact])
    cases = {f"case{i}": draw(random, dtype) for i in range(60)}
    if not exact:
        cases = {name: {k: v for k, v in parts.items() if k != "reference"} for name, parts in cases.items()}
    if dtype in FLOATS:
        cases = {name: {**parts, LIMITS: draw_limits(random, parts)} for name, parts in cases.items()}
    bundle = write_bundle(tmp_path / "bundle", dtype, ["A", "B"], cases)
    ended = echo("--check", bundle)
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()[:-1]
    verdicts, limits = [], []
    for (name, parts), line in zip(cases.items(), lines, strict=True):
        tolerance = Tolerance(parts[LIMITS], np.zeros(parts[LIMITS].shape)) if LIMITS in parts else None
        wanted = judge("x", parts["inputs"], parts["outputs"], parts.get("reference"), tolerance)
        case, _, error, _, limit, verdict, *_ = line.split()
        verdicts.append(wanted.passed)
        assert (case, verdict) == (name, "PASS" if wanted.passed else "FAIL"), (line, wanted)
        if dtype in FLOATS and np.isfinite(wanted.error):
            limits.append(wanted.limit)
            assert (error, limit) == (f"{wanted.error:.3g}", f"{wanted.limit:.3g}"), (line, wanted)
            assert wanted.passed or str([*wanted.index]) in line, (line, wanted)
    assert {*verdicts} == {True, False}
    assert (dtype not in FLOATS) or (0 in limits and max(limits) > 0)
    assert ended.code == 1


OFF = np.float32([[1.0, 2.5]])
WRITTEN = {"int8": {"weights": "int8", "bound": 0.09}, "float16": {"weights": "float16", "bound": 0.004}, "own": None}


@pytest.mark.parametrize(
    ("weights", "values", "got", "verdict"),
    [
        ("int8", "saturating", OFF, "EXPECTED"),
        ("int8", "ordinary", OFF, "FAIL"),
        ("float16", "saturating", OFF, "FAIL"),
        ("own", "saturating", OFF, "FAIL"),
        ("int8", "saturating", np.float32([[1.0, np.nan]]), "FAIL"),
        ("int8", "saturating", np.float64([[1.0, 2.5]]), "FAIL"),
    ],
)
def test_only_what_int8_makes_of_saturating_values_is_expected(
    weights: str, values: str, got: Array, verdict: str, echo: Run, tmp_path: Path
) -> None:
    case = {"inputs": got, "outputs": np.float32([[1.0, 2.0]]), LIMITS: np.full((1, 2), 0.4)}
    bundle = write_bundle(
        tmp_path / "bundle",
        str(got.dtype),
        ["A", "B"],
        {"one": case},
        values=values,
        precision=WRITTEN[weights],
    )
    ended = echo("--check", bundle)
    assert ended.stdout.split()[5] == verdict, ended
    assert ended.code == (0 if verdict == "EXPECTED" else 1)


def test_an_error_as_large_as_the_limit_passes(echo: Run, tmp_path: Path) -> None:
    for limit, code in ((0.5, 0), (np.nextafter(0.5, 0), 1)):
        case = {"inputs": OFF, "outputs": np.float32([[1.0, 2.0]]), LIMITS: np.float64([[0.0, limit]])}
        assert echo("--check", write_bundle(tmp_path / str(code), "float32", ["A", "B"], {"one": case})).code == code


@pytest.mark.parametrize("got", [np.nextafter(np.float32(2), np.float32(3)), np.float32(2.5), np.float32(1e-45)])
def test_without_room_it_is_the_very_same_number(got: Array, echo: Run, tmp_path: Path) -> None:
    own = np.float32([[1.0, 2.0 if got > 1 else 0.0]])
    for number, code in ((own[0, 1], 0), (got, 1)):
        case = {"inputs": np.float32([[1.5, number]]), "outputs": own, LIMITS: np.float64([[1.0, 0.0]])}
        ended = echo("--check", write_bundle(tmp_path / str(code), "float32", ["A", "B"], {"one": case}))
        assert ended.code == code, ended
    assert "'x' [0, 1] is off by" in ended.stdout
    assert "has to be the very same number" in ended.stdout


WRONG_LIMITS = {
    "none": (None, "cases.safetensors has no 'two/limits/model.onnx/x'. Export the model again."),
    "one for all": (np.ones(1), "as float64[1] instead of float64[1, 2]. Export the model again."),
    "too few": (np.ones((1, 1)), "as float64[1, 1] instead of float64[1, 2]. Export the model again."),
    "turned": (np.ones((2, 1)), "as float64[2, 1] instead of float64[1, 2]. Export the model again."),
    "float32": (np.ones((1, 2), np.float32), "as float32[1, 2] instead of float64[1, 2]. Export the model again."),
    "negative": (np.float64([[1, -1e-9]]), "has a limit of -1e-09 in 'two/limits/model.onnx/x'. Export the"),
    "minus infinity": (np.float64([[-np.inf, 1]]), "has a limit of -inf in 'two/limits/model.onnx/x'. Export the"),
    "NaN": (np.float64([[np.nan, 1]]), "has a limit of nan in 'two/limits/model.onnx/x'. Export the model again."),
}


@pytest.mark.parametrize("kind", WRONG_LIMITS)
def test_limits_that_are_none(kind: str, echo: Run, tmp_path: Path) -> None:
    """Found before the first case is run."""
    limits, message = WRONG_LIMITS[kind]
    right = {"inputs": OFF, "outputs": OFF}
    wrong = right if limits is None else {**right, LIMITS: limits}
    bundle = write_bundle(tmp_path / "bundle", "float32", ["A", "B"], {"one": right, "two": wrong})
    if limits is None:
        edit(bundle, lambda tensors, manifest: tensors.pop("two/limits/model.onnx/x"))
    ended = echo("--check", bundle)
    assert ended.refused, ended
    assert message in ended.stderr


def test_a_reference_of_another_shape(echo: Run, tmp_path: Path) -> None:
    case = {"inputs": OFF, "outputs": OFF, "reference": np.float64([[1.0]])}
    ended = echo("--check", write_bundle(tmp_path / "bundle", "float32", ["A", "B"], {"one": case}))
    assert ended.refused, ended
    assert "has 'one/reference/x' as float64[1, 1] instead of float64[1, 2]. Export the model again." in ended.stderr


def edit(bundle: Path, change: Callable[[dict[str, Array], dict[str, Any]], object]) -> None:
    """Change the tensors of the cases and the manifest, whose hash of the cases is renewed."""
    tensors = safetensors.numpy.load_file(bundle / "cases.safetensors")
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(tensors, manifest)
    safetensors.numpy.save_file(tensors, bundle / "cases.safetensors")
    manifest["files"]["cases.safetensors"] = asdict(hash_file(bundle / "cases.safetensors"))
    (bundle / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("first", ["x", "y"])
def test_a_wrong_shape_is_worse_than_any_error(first: str, echo: Run, tmp_path: Path) -> None:
    """The error of x is expected of int8 weights, the shape of y is not."""
    case = {"inputs": OFF, "outputs": np.float32([[1.0, 2.0]])}
    bundle = write_bundle(
        tmp_path / "b", "float32", ["A", "B"], {"one": case}, values="saturating", precision=WRITTEN["int8"]
    )
    assert echo("--check", bundle).stdout.split()[5] == "EXPECTED"

    def add(tensors: dict[str, Array], manifest: dict[str, Any]) -> None:
        for part in ("outputs", LIMITS):
            tensors[f"one/{part}/y"] = tensors[f"one/{part}/x"].T.copy()
        tensors["one/inputs/y"] = OFF
        manifest["inputs"]["y"] = manifest["inputs"]["x"]
        manifest["outputs"] = dict.fromkeys(sorted("xy", key=lambda name: name != first), "float32[A, B]")

    edit(bundle, add)
    ended = echo("--check", bundle)
    assert ended.code == 1, ended
    assert "FAIL  'y' is float32[1, 2] instead of float32[2, 1]" in ended.stdout


def test_no_outputs_are_no_manifest(echo: Run, tmp_path: Path) -> None:
    """Nothing would be compared, and so every case pass."""
    bundle = write_bundle(tmp_path / "b", "float32", ["A", "B"], {"one": {"inputs": OFF, "outputs": OFF}})
    edit(bundle, lambda tensors, manifest: manifest.update(outputs={}))
    ended = echo("--check", bundle)
    assert ended.refused, ended
    assert "is not a manifest that an export wrote" in ended.stderr


@pytest.mark.parametrize(("kind", "number"), [("onnx", 1), ("format2-plain", 2)])
def test_older_formats_are_refused(kind: str, number: int, echo: Run, tmp_path: Path) -> None:
    bundle = ROOT / "tests" / "golden" / kind
    model, cases = bundle / "model.onnx", bundle / "cases.safetensors"
    for arguments in (["--check", bundle], [model, cases, tmp_path / "out"]):
        ended = echo(*arguments)
        assert ended.refused, ended
        said = f"{bundle}/manifest.json is of format {number}, whose limits were too wide. Export the model again."
        assert said in ended.stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("dims", [["T"], ["T", "N"], ["N", "T"], ["N", 3, "T", 2]])
@pytest.mark.parametrize("dtype", DTYPES)
def test_joins_chunks(dtype: str, dims: list[str], echo: Run, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shapes = [[{"T": T, "N": N}.get(dim, dim) for dim in dims] for T in (1, 2, 5) for N in (1, 3)]
    arrays = [(random.standard_normal(shape) * 9).astype(dtype) for shape in shapes]
    cases = {f"case{i}": {"inputs": array, "outputs": array} for i, array in enumerate(arrays)}
    stream = {"time": "T", "states": {"s": {"output": "s", "dtype": "float32", "shape": [2], "reset": 0}}}
    bundle = write_bundle(tmp_path / "bundle", dtype, dims, cases, stream=stream)
    for chunk in ("1", "2", "3", "7"):
        ended = echo("--check", bundle, "--chunk", chunk)
        assert ended.code == 0, ended
        ended = echo(bundle / "model.onnx", bundle / "cases.safetensors", tmp_path / "out", "--chunk", chunk)
        assert ended.code == 0, ended
        got = safetensors.numpy.load_file(tmp_path / "out")
        assert all(np.array_equal(got[f"case{i}/outputs/x"], array) for i, array in enumerate(arrays))


STATES = [
    State("s", "s", "float32", (1, "N", 4), 0.1),
    State("s", "s", "float32", ("6*N", 2), (0.5, -2.0)),
    State("s", "s", "float16", ("N", 3), (65504.0, 6e-8, -0.0001)),
    State("s", "s", "float16", ("N",), float("-inf")),
    State("s", "s", "float64", (2, "N", 2), (0.1, 1e300, float("nan"), 5e-324)),
    State("s", "s", "int64", ("N", 2), (3.0, -4.0)),
    State("s", "s", "bool", ("N",), 1.0),
    State("s", "s", "float32", (), 7.0),
]


@pytest.mark.parametrize("state", STATES, ids=str)
def test_begins_with_reset_values(state: State, echo: Run, tmp_path: Path) -> None:
    x = np.zeros((3, 2), np.float32)
    stream = {"time": "T", "states": {"s": to_builtins(state.entry)}}
    bundle = write_bundle(
        tmp_path / "bundle", "float32", ["T", "N"], {"one": {"inputs": x, "outputs": x}}, stream=stream
    )
    ended = echo(bundle / "model.onnx", bundle / "cases.safetensors", tmp_path / "out")
    assert ended.code == 0, ended
    got = safetensors.numpy.load_file(tmp_path / "out")["one/outputs/s"]
    wanted = state.initial({"T": 3, "N": 2})
    assert (got.dtype, got.shape, got.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


def damaged(content: bytes, header: int, count: int) -> Iterator[bytes]:
    """Cut off anywhere, or with bytes of the header changed, left out or put in twice."""
    drawn = random.Random(0)
    for _ in range(count):
        yield content[: drawn.randrange(len(content))]
        changed = bytearray(content)
        for _ in range(drawn.choice([1, 1, 2, 5])):
            changed[drawn.randrange(header)] = drawn.choice([0, 255, *b'0123456789"[]{},:-eE.', drawn.randrange(256)])
        yield bytes(changed)
        at, length = drawn.randrange(8, header), drawn.randrange(1, 9)
        part = content[at : at + length] * drawn.choice([0, 2])
        longer = content[:at] + part + content[at + length :]
        yield (header - 8 + len(part) - length).to_bytes(8, "little") + longer[8:]


def lying(tensors: dict[str, Any], data: bytes = bytes(16)) -> bytes:
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + data


def entry(**changed: Any) -> dict[str, Any]:
    return {"one/inputs/x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changed}}


LIES = [
    b"",
    b"\xff" * 8,
    (2**63).to_bytes(8, "little") + b"{}",
    (2).to_bytes(8, "little") + b"[]",
    (10**6).to_bytes(8, "little") + b"[" * 10**6,
    (10**6).to_bytes(8, "little") + b'{"a":' * (10**6 // 5),
    *(lying(entry(shape=shape)) for shape in ([2**62, 4], [2**64], [-4], [1.5], "4", None, [[4]], [5], [2**40] * 3)),
    *(lying(entry(dtype=dtype)) for dtype in ("F8", "", None, 3, "f32", "BF16", "U64")),
    *(lying(entry(data_offsets=at)) for at in ([0, 17], [16, 0], [1, 17], [-16, 0], [0], [0, 16, 16], [0, 2**64], "0")),
    *(lying(entry(shape=[0, 2**60], data_offsets=at)) for at in ([0, 0], [16, 16], [8, 8])),
    lying({**entry(), "two/inputs/x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}),
    lying({"one/inputs/x": [1]}),
    lying({"one/inputs/x": {}}),
    lying(entry(), bytes(20)),
    lying({"two": entry()["one/inputs/x"]}),
    lying({}, b""),
    lying({"__metadata__": {"a": "b"}}, b""),
]


@pytest.mark.parametrize("number", range(len(LIES)))
def test_cases_that_lie(number: int, echo: Run, tmp_path: Path) -> None:
    (tmp_path / "cases").write_bytes(LIES[number])
    (tmp_path / "model.onnx").touch()
    ended = echo(tmp_path / "model.onnx", tmp_path / "cases", tmp_path / "out")
    assert ended.refused, ended
    assert len(ended.stderr) < 500
    assert not (tmp_path / "out").exists()


def test_damaged_cases(echo: Run, tmp_path: Path) -> None:
    """What is taken is what the library of the format takes, and says the same."""
    bundle = write_bundle(
        tmp_path / "bundle",
        "float32",
        ["T", "N"],
        {name: {part: np.arange(6, dtype=np.float32).reshape(3, 2) for part in ("inputs", "outputs")} for name in "ab"},
    )
    content = (bundle / "cases.safetensors").read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    taken = 0
    for damage in damaged(content, header, 100):
        (tmp_path / "cases").write_bytes(damage)
        (tmp_path / "out").unlink(missing_ok=True)
        ended = echo(bundle / "model.onnx", tmp_path / "cases", tmp_path / "out")
        assert ended.refused or ended.code == 0, (ended, damage)
        if ended.code == 0:
            taken += 1
            theirs = safetensors.numpy.load_file(tmp_path / "cases")
            for name, array in safetensors.numpy.load_file(tmp_path / "out").items():
                assert np.array_equal(array, theirs[name.replace("/outputs/", "/inputs/")], equal_nan=True)
        elif "is not a safetensors file" in ended.stderr:
            with pytest.raises((SafetensorError, KeyError, ValueError)):
                safetensors.numpy.load_file(tmp_path / "cases")
    assert taken > 5


def test_damaged_manifest(echo: Run, tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    stream = {"time": "T", "states": {"s": to_builtins(STATES[1].entry)}}
    case = {"one": {"inputs": x, "outputs": x, "reference": x.astype(np.float64)}}
    bundle = write_bundle(tmp_path / "bundle", "float32", ["T", "N"], case, stream=stream)
    content = (bundle / "manifest.json").read_bytes()
    codes = []
    for damage in damaged(content, len(content), 70):
        (bundle / "manifest.json").write_bytes(damage)
        ended = echo("--check", bundle, "--chunk", "2")
        assert ended.refused or (ended.code in (0, 1) and ended.stderr == ""), (ended, damage)
        codes.append(ended.code)
    assert {*codes} >= {0, 2}


@pytest.mark.parametrize("size", [10**9, 10**12, 2**63 - 1])
def test_state_that_no_memory_holds(size: int, echo: Run, tmp_path: Path) -> None:
    x = np.zeros((3, 2), np.float32)
    stream = {"time": "T", "states": {"s": {"output": "s", "dtype": "float32", "shape": ["N", size], "reset": 0}}}
    bundle = write_bundle(
        tmp_path / "bundle", "float32", ["T", "N"], {"one": {"inputs": x, "outputs": x}}, stream=stream
    )
    ended = echo("--check", bundle)
    assert ended.refused, ended
