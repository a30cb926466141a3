"""The Node client: bundles are replayed, faults are seen, and bad input is one sentence. `make test-node` builds it."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from msgspec.structs import asdict
from planting import renew_hash, write_bundle
from rnn_export import verify
from rnn_export.bundle.cases import read_cases
from rnn_export.bundle.files import hash_file
from rnn_export.bundle.manifest import read_manifest
from rnn_export.parity.compare import judge

from clients.exported import RIGHT, STATEFUL
from clients.readme_programs import HALF, INT8, assert_same, numbers_of, printed_by, saved, section, told

NODE = Path(__file__).parents[2] / "clients" / "node"
CLIENT = NODE / "client.mjs"
GOLDEN = Path(__file__).parents[1] / "golden"

pytestmark = pytest.mark.skipif(
    not (NODE / "dist/node/main.js").exists(), reason="the Node client is not built: make test-node"
)

Run = subprocess.CompletedProcess[str]


def run(*arguments: str | Path, on: list[str] | None = None) -> Run:
    command = [*(on or []), "node", str(CLIENT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def bundles(of_every_kind: Path) -> Path:
    return of_every_kind


@pytest.fixture
def bundle(bundles: Path, tmp_path: Path) -> Path:
    """A copy of the LSTM's, to be spoiled."""
    return Path(shutil.copytree(bundles / "lstm", tmp_path / "lstm"))


@pytest.mark.parametrize("name", RIGHT)
def test_the_stored_cases_pass(name: str, bundles: Path) -> None:
    done = run("--check", bundles / name)
    assert done.returncode == 0, done.stdout + done.stderr
    *rows, summary = done.stdout.splitlines()
    cases = read_manifest(bundles / name).cases
    assert [row.split()[0] for row in rows] == [case.name for case in cases]
    assert {row.split()[3] for row in rows} <= ({"PASS", "EXPECTED"} if name == "int8" else {"PASS"})
    assert re.fullmatch(rf"PASS  {len(cases)} cases in onnxruntime-node \S+ on cpu", summary)


@pytest.mark.parametrize("name", RIGHT)
def test_the_program_in_a_readme_prints_what_it_says(name: str, bundles: Path, tmp_path: Path) -> None:
    """Saved and run as the page says, in a copy of the bundle."""
    folder = Path(shutil.copytree(bundles / name, tmp_path / name))
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    file = saved(folder, "JavaScript, ONNX Runtime")
    assert f"`node {file.name}`" in section(folder, "JavaScript, ONNX Runtime")
    printed = numbers_of(printed_by("node", file.name, folder=folder))
    assert_same(printed, told(folder), rel={"half": HALF, "int8": INT8}.get(name, 1e-3))


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("name", STATEFUL)
def test_the_stored_cases_pass_in_chunks(name: str, chunk: int, bundles: Path) -> None:
    done = run("--check", bundles / name, "--chunk", str(chunk))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "chunk"), [*((name, []) for name in RIGHT), *((name, ["--chunk", "2"]) for name in STATEFUL)]
)
def test_errors_and_limits_are_those_of_python(name: str, chunk: list[str], bundles: Path, tmp_path: Path) -> None:
    """What the client writes is judged in Python; what it prints must be the same numbers."""
    folder = bundles / name
    done = run(folder / "model.onnx", folder / "cases.safetensors", tmp_path / "out.safetensors", *chunk)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    got = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    rows = run("--check", folder, *chunk).stdout.splitlines()
    cases = read_cases(folder / "cases.safetensors", read_manifest(folder), "model.onnx")
    for item, row in zip(cases, rows, strict=False):
        assert item.reference is not None
        results = [
            judge(
                output,
                got[f"{item.case.name}/outputs/{output}"],
                eager,
                item.reference.exact_of(output),
                item.tolerances.get(output),
            )
            for output, eager in item.reference.eager.items()
        ]
        worst = max(results, key=lambda result: result.share)
        assert worst.passed == (row.split()[3] == "PASS")
        assert [float(number) for number in row.split()[1:3]] == pytest.approx([worst.error, worst.limit], rel=6e-3)


def test_all_outputs_of_a_stream_are_written(bundles: Path, tmp_path: Path) -> None:
    """The states are among them, those of the last chunk."""
    folder = bundles / "tagger_stateful"
    out = {}
    for chunk in ("1", "1000"):
        path = tmp_path / f"{chunk}.safetensors"
        assert run(folder / "model.onnx", folder / "cases.safetensors", path, "--chunk", chunk).returncode == 0
        out[chunk] = safetensors.numpy.load_file(path)
    assert out["1"].keys() == out["1000"].keys()
    assert "ordinary-T7-N5/outputs/rnn.1.c_n" in out["1"]
    for name, array in out["1"].items():
        assert np.allclose(array, out["1000"][name], atol=1e-6)


def test_a_planted_fault_fails(bundles: Path) -> None:
    done = run("--check", bundles / "wrong")
    assert done.returncode == 1
    *rows, summary = done.stdout.splitlines()
    assert all("FAIL  logits is off by 0.1" in row for row in rows)
    assert summary.startswith(f"FAIL  {len(rows)} of {len(rows)} cases failed in onnxruntime-node")


def test_a_model_that_raises_fails(bundle: Path, bundles: Path) -> None:
    shutil.copy(bundles / "scratch/model.onnx", bundle / "model.onnx")
    renew_hash(bundle, "model.onnx")
    done = run("--check", bundle)
    assert done.returncode == 1
    assert "FAIL  the runtime raised: Input 'tokens' is missing; the model takes int64[N, T]." in done.stdout


Tensors = dict[str, np.ndarray]


def edit_cases(bundle: Path, change: Callable[[Tensors], object]) -> None:
    """Change the cases, and the manifest so that the hashes fit."""
    cases = safetensors.numpy.load_file(bundle / "cases.safetensors")
    change(cases)
    safetensors.numpy.save_file({k: np.asarray(v, order="C") for k, v in cases.items()}, bundle / "cases.safetensors")
    entry = hash_file(bundle / "cases.safetensors")
    edit(bundle, lambda data: data["files"].update({"cases.safetensors": asdict(entry)}))


def of_another_dtype_and_shape(cases: Tensors) -> None:
    cases["ordinary-T7-N5/outputs/output"] = cases["ordinary-T7-N5/outputs/output"].astype(np.float64)
    for part in ("outputs", "reference", "limits/model.onnx"):
        cases[f"ordinary-T1-N1/{part}/h_n"] = cases[f"ordinary-T1-N1/{part}/h_n"][:, :0]


def test_a_wrong_dtype_and_a_wrong_shape_fail(bundle: Path) -> None:
    """What the file says that PyTorch computed is changed."""
    edit_cases(bundle, of_another_dtype_and_shape)
    done = run("--check", bundle)
    assert done.returncode == 1
    assert "output is float32[7, 5, 4] instead of float64[7, 5, 4]" in done.stdout
    assert "h_n is float32[1, 1, 4] instead of float32[1, 0, 4]" in done.stdout


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_values_must_be_in_place(value: float, bundle: Path) -> None:
    edit_cases(bundle, lambda cases: cases["ordinary-T7-N5/outputs/output"].__setitem__((1, 2, 3), value))
    done = run("--check", bundle)
    assert done.returncode == 1
    assert re.search(r"output is \S+ at \[1, 2, 3\] where PyTorch has (NaN|Infinity)", done.stdout)


def test_without_room_it_is_the_very_same_number(bundle: Path) -> None:
    """One element of PyTorch's and its reference is the runtime's own, or the next number."""
    got = ordinary_output(bundle)[1, 2, 3]
    for number, code in ((got, 0), (np.nextafter(got, np.float32(9)), 1)):

        def change(cases: Tensors, number: float = float(number)) -> None:
            for part, value in (("outputs", number), ("reference", number), ("limits/model.onnx", 0.0)):
                cases[f"ordinary-T7-N5/{part}/output"][1, 2, 3] = value

        edit_cases(bundle, change)
        done = run("--check", bundle)
        assert done.returncode == code, done
    assert re.search(r"output is off by \S+ at \[1, 2, 3\], and has to be the very same number", done.stdout)


def ordinary_output(bundle: Path) -> np.ndarray:
    out = bundle.parent / "out.safetensors"
    assert run(bundle / "model.onnx", bundle / "cases.safetensors", out).returncode == 0
    return safetensors.numpy.load_file(out)["ordinary-T7-N5/outputs/output"]


def tighten(bundle: Path, values: str) -> None:
    """Limits that int8 weights do not keep to, and cases of other values."""

    def limit(cases: Tensors) -> None:
        cases.update({name: np.full_like(each, 1e-9) for name, each in cases.items() if "/limits/" in name})

    edit_cases(bundle, limit)
    edit(bundle, lambda data: [case.update(values=values) for case in data["cases"]])


@pytest.mark.parametrize(("values", "verdict", "code"), [("saturating", "EXPECTED", 0), ("ordinary", "FAIL", 1)])
def test_int8_beyond_its_bound_is_expected_of_saturating_values(
    values: str, verdict: str, code: int, bundles: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(bundles / "int8", tmp_path / "int8"))
    tighten(bundle, values)
    done = run("--check", bundle)
    *rows, _ = done.stdout.splitlines()
    assert {row.split()[3] for row in rows} == {verdict}, done
    assert done.returncode == code


def test_a_wrong_shape_is_not_expected_of_int8(bundles: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundles / "int8", tmp_path / "int8"))
    tighten(bundle, "saturating")
    edit_cases(bundle, lambda cases: cases.update(narrowed(cases)))
    done = run("--check", bundle)
    assert done.returncode == 1
    assert "EXPECTED" not in done.stdout


def narrowed(cases: Tensors) -> Tensors:
    return {name: array[..., :1] for name, array in cases.items() if "/inputs/" not in name}


@pytest.mark.parametrize(("name", "spelled"), [("tagger_stateful", "T*N"), ("batch_first_stateful", "N*T")])
def test_chunks_are_joined_in_the_order_that_the_manifest_spells(
    name: str, spelled: str, bundles: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(bundles / name, tmp_path / name))
    other = "*".join(reversed(spelled.split("*")))
    edit(bundle, lambda data: data["outputs"].update(logits=data["outputs"]["logits"].replace(spelled, other)))
    done = run("--check", bundle, "--chunk", "2")
    assert done.returncode == 1
    assert re.search(r"ordinary-\w7-\w5 .* FAIL  logits is off by", done.stdout), done
    edit(bundle, lambda data: data["outputs"].update(logits=data["outputs"]["logits"].replace(other, "M*T")))
    assert "Output 'logits' depends on the size M, which is not given." in run("--check", bundle, "--chunk", "2").stdout


@pytest.mark.parametrize("kind", ["plain", "stateful", "int8"])
def test_golden_bundles(kind: str) -> None:
    done = run("--check", GOLDEN / f"format3-{kind}")
    assert done.returncode == 0, done
    assert all(row.split()[3] == "PASS" for row in done.stdout.splitlines()[:-1])


def header(text: str, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text.encode() + data


def entry(**changes: object) -> bytes:
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}
    return header(json.dumps({"a/inputs/x": tensor}), bytes(4))


BAD_CASES = {
    "empty": (b"", "it has 0 bytes"),
    "short": (b"1234567", "it has 7 bytes"),
    "header beyond the file": (struct.pack("<Q", 2**62) + b"{}", "its header ends beyond the file"),
    "truncated header": (header('{"a": 1}')[:-3], "its header ends beyond the file"),
    "no JSON": (header("{'a'"), "its header is not JSON"),
    "no UTF-8": (struct.pack("<Q", 2) + b"\xff\xfe", "its header is not JSON"),
    "a list": (header("[1]"), "its header is not a JSON object"),
    "no entry": (header('{"a/inputs/x": 3}'), "'a/inputs/x' has no entry"),
    "offsets outside": (entry(data_offsets=[0, 400]), "'a/inputs/x' lies outside the file"),
    "offsets in reverse": (entry(data_offsets=[4, 0]), "'a/inputs/x' lies outside the file"),
    "negative offsets": (entry(data_offsets=[-4, 0]), "lacks a dtype, a shape or offsets"),
    "huge shape": (entry(shape=[2**40, 2**40]), "has 4 bytes, which its shape [1099511627776, 1099511627776] does not"),
    "shape of text": (entry(shape="1"), "lacks a dtype, a shape or offsets"),
    "unknown dtype": (entry(dtype="F8_E4M3"), "has the dtype F8_E4M3; of those F16, F32, F64, I32,"),
    "dtype of an object": (entry(dtype="constructor"), "has the dtype constructor"),
    "no case": (header("{}"), "holds no tensor named <case>/inputs/<input>"),
    "another input": (entry(), "Case a: Input 'x' is float32[1], and the model takes float32[T, N, 3]."),
    "no such input": (header(json.dumps({"a/inputs/y": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})),
                      "Case a: Input 'x' is missing; the model takes float32[T, N, 3]."),
    "another dtype": (entry(dtype="I32"), "Case a: Input 'x' is int32[1], and the model takes float32[T, N, 3]."),
    "another size": (entry(shape=[1, 1, 1]), "Input 'x' is float32[1, 1, 1], and the model takes float32[T, N, 3]."),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_CASES)
def test_bad_cases(fault: str, bundle: Path, tmp_path: Path) -> None:
    content, message = BAD_CASES[fault]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    refused(run(bundle / "model.onnx", path, tmp_path / "out.safetensors"), message)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bad.safetensors", "lstm"]


Spoil = Callable[[Path], object]


def edit(bundle: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    data = json.loads((bundle / "manifest.json").read_text())
    change(data)
    (bundle / "manifest.json").write_text(json.dumps(data))


def spoil_model(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"no model")
    entry = hash_file(bundle / "model.onnx")
    edit(bundle, lambda data: data["files"].update({"model.onnx": asdict(entry)}))


def shorten_reset(bundle: Path) -> None:
    edit(bundle, lambda data: data["artifacts"]["model.onnx"]["stream"]["states"]["rnn.h0"].update(reset=[0, 1]))


def no_cases(bundle: Path) -> None:
    edit(bundle, lambda data: data.update(cases=[]))


def one(part: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    """One tensor of the cases is another."""
    name = f"ordinary-T7-N5/{part}/output"
    return lambda bundle: edit_cases(bundle, lambda cases: cases.update({name: change(cases[name])}))


def without(name: str) -> Spoil:
    return lambda bundle: edit_cases(bundle, lambda cases: cases.pop(name))


LIMITS = "limits/model.onnx"
ITS_LIMITS = f"ordinary-T7-N5/{LIMITS}/output"

BAD_BUNDLES: dict[str, tuple[Spoil, str]] = {
    "no folder": (shutil.rmtree, "lstm/manifest.json is not there."),
    "a file": (lambda bundle: (shutil.rmtree(bundle), bundle.write_text("")), "lstm/manifest.json cannot be read"),
    "no manifest": (lambda bundle: (bundle / "manifest.json").unlink(), "lstm/manifest.json is not there."),
    "no JSON": (lambda bundle: (bundle / "manifest.json").write_text("{"), "is not a manifest (it is not JSON)."),
    "a list": (
        lambda bundle: (bundle / "manifest.json").write_text("[]"),
        "is not a manifest (it is not of type object).",
    ),
    "another format": (lambda bundle: edit(bundle, lambda data: data.update(format=4)), "(format is not 3)"),
    "format 1": (
        lambda bundle: edit(bundle, lambda data: data.update(format=1)),
        "lstm/manifest.json is of format 1, whose limits were too wide. Export the model again.",
    ),
    "format 2": (
        lambda bundle: edit(bundle, lambda data: data.update(format=2)),
        "lstm/manifest.json is of format 2, whose limits were too wide. Export the model again.",
    ),
    "no limits": (
        without(ITS_LIMITS),
        f"lstm/cases.safetensors does not hold {ITS_LIMITS}. Export the model again.",
    ),
    "limits of another shape": (
        one(LIMITS, lambda limits: limits[:1]),
        f"has {ITS_LIMITS} as float64[1, 5, 4] instead of float64[7, 5, 4]. Export the model again.",
    ),
    "limits of as many elements": (
        one(LIMITS, lambda limits: limits.reshape(5, 7, 4)),
        f"has {ITS_LIMITS} as float64[5, 7, 4] instead of float64[7, 5, 4]. Export the model again.",
    ),
    "limits in float32": (
        one(LIMITS, lambda limits: limits.astype(np.float32)),
        f"has {ITS_LIMITS} as float32[7, 5, 4] instead of float64[7, 5, 4]. Export the model again.",
    ),
    "a limit below 0": (
        one(LIMITS, lambda limits: limits - 1),
        f" in {ITS_LIMITS}. Export the model again.",
    ),
    "a limit of NaN": (
        one(LIMITS, lambda limits: np.where(limits == limits.max(), np.nan, limits)),
        f"lstm/cases.safetensors has a limit of NaN in {ITS_LIMITS}. Export the model again.",
    ),
    "a reference of another shape": (
        one("reference", lambda reference: reference[:, :1]),
        "has ordinary-T7-N5/reference/output as float64[7, 1, 4] instead of float64[7, 5, 4]. Export the model again.",
    ),
    "no inputs": (lambda bundle: edit(bundle, lambda data: data.pop("inputs")), "(inputs is not of type object)"),
    "inputs are text": (
        lambda bundle: edit(bundle, lambda data: data.update(inputs="x")),
        "(inputs is not of type object)",
    ),
    "unknown dtype": (
        lambda bundle: edit(bundle, lambda data: data["inputs"]["x"].update(dtype="complex64")),
        "(inputs.x.dtype is not a known dtype)",
    ),
    "no ONNX": (lambda bundle: edit(bundle, lambda data: data.update(artifacts={})), "lstm has no model.onnx."),
    "no model": (lambda bundle: (bundle / "model.onnx").unlink(), "lstm/model.onnx is not there."),
    "no cases": (lambda bundle: (bundle / "cases.safetensors").unlink(), "lstm/cases.safetensors is not there."),
    "changed model": (lambda bundle: (bundle / "model.onnx").write_bytes(b"x"), "lstm/model.onnx was changed after it"),
    "changed cases": (
        lambda bundle: (bundle / "cases.safetensors").write_bytes(b"x"),
        "lstm/cases.safetensors was changed after it was written. Export the model again.",
    ),
    "no model at all": (spoil_model, "lstm/model.onnx cannot be opened in onnxruntime-node"),
    "no case at all": (no_cases, "lstm holds no cases. Nothing can be checked."),
    "a case too few": (
        without("ordinary-T1-N1/inputs/x"),
        "lstm/cases.safetensors does not hold ordinary-T1-N1/inputs/x.",
    ),
}


@pytest.mark.parametrize("fault", BAD_BUNDLES)
def test_bad_bundles(fault: str, bundle: Path) -> None:
    spoil, message = BAD_BUNDLES[fault]
    spoil(bundle)
    refused(run("--check", bundle), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give MODEL CASES OUT, or --check BUNDLE. See --help."),
        (["--chek", "b"], "Unknown option '--chek'. See --help."),
        (["--check", "{bundle}", "more"], "Give MODEL CASES OUT, or --check BUNDLE. See --help."),
        (["--check", "{bundle}", "--chunk", "0"], "--chunk is 0. Give a whole number, 1 or more."),
        (["--check", "{bundle}", "--chunk", "-1"], "--chunk is -1. Give a whole number, 1 or more."),
        (["--check", "{bundle}", "--chunk"], "--chunk needs a value. See --help."),
        (["--check", "{bundle}", "--chunk", "2"], "lstm has no states to carry. Export it with --stateful."),
        (["--check", "{bundle}", "--provider", "tpu"], "has no provider 'tpu'. Choose from cpu, webgpu"),
        (["--check", "{bundle}", "--provider", "cuda"], "lstm/model.onnx cannot be opened in onnxruntime-node"),
        (["none.onnx", "{bundle}/cases.safetensors", "out"], "none.onnx cannot be opened in onnxruntime-node"),
        (["--check", "-b"], "-b/manifest.json is not there."),
        (["-m"], "Unknown option '-m'. See --help."),
        (["--", "-m"], "-m cannot be opened in onnxruntime-node"),
        (["{bundle}/model.onnx", "none", "out"], "none is not there."),
        (["{bundle}/model.onnx", "{bundle}/cases.safetensors", "none/out"], "none/out cannot be written"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, bundle: Path) -> None:
    refused(run(*(each.format(bundle=bundle) for each in arguments)), message)


def test_a_reset_value_of_another_size(bundles: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundles / "learned_stateful", tmp_path / "learned"))
    shorten_reset(bundle)
    done = run(bundle / "model.onnx", bundle / "cases.safetensors", tmp_path / "out")
    refused(done, "Case ordinary-T1-N1: float32[1, 1, 4] has 4 elements, not 2. Give as many.")


def refused(done: Run, message: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_state_without_its_manifest_is_missing(bundles: Path, tmp_path: Path) -> None:
    """Nothing begins with zeros that nobody asked for."""
    folder = bundles / "learned_stateful"
    shutil.copy(folder / "model.onnx", tmp_path)
    done = run(tmp_path / "model.onnx", folder / "cases.safetensors", tmp_path / "out")
    refused(done, "Case ordinary-T1-N1: Input 'rnn.h0' is missing; the model takes float32[1, N, 4].")


def test_help_and_version() -> None:
    lines = run("--help").stdout.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert re.fullmatch(r"rnn-export-node \S+, onnxruntime-node \S+, takes \.onnx\n", run("--version").stdout)


def test_characters_are_drawn_from_the_softmax() -> None:
    """For random numbers in equal steps each token comes as often as its share says."""
    logits, count = [1.5, -0.25, 3.0, 0.0], 10_000
    program = f"""
        import {{ choose }} from "{NODE}/dist/javascript/writing.js";
        const counts = [0.5, 2].map((temperature) => {{
          const drawn = Array(4).fill(0);
          for (let i = 0; i < {count}; i++) drawn[choose(Float64Array.of({logits}), temperature, () => i / {count})]++;
          return drawn;
        }});
        console.log(JSON.stringify(counts));
    """
    command = ["node", "--input-type=module", "--eval", program.replace(str(logits), str(logits)[1:-1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for temperature, drawn in zip((0.5, 2), json.loads(done.stdout), strict=True):
        shares = np.exp(np.array(logits) / temperature)
        assert np.abs(np.array(drawn) / count - shares / shares.sum()).max() < 2e-4


def test_webgpu(bundles: Path) -> None:
    """An LSTM runs there with every node; of a Scan the loop does not."""
    swiftshader = [sys.executable, "-m", "providers.swiftshader"]
    for name, where in (("lstm", "every node there"), ("hetero", "some nodes on the CPU")):
        done = run("--check", bundles / name, "--provider", "webgpu", on=swiftshader)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.endswith(f" on webgpu, {where}\n")


def test_float16_is_that_of_numpy() -> None:
    """Rounding to even, numbers too small for a power of two, and too large for float16."""
    exact = np.arange(2**16, dtype=np.uint16).view(np.float16)
    exact = exact[np.isfinite(exact)].astype(np.float64)
    halfway = (exact[1:] + exact[:-1]) / 2
    random = np.random.default_rng(0).standard_normal(1000) * 10.0 ** np.arange(-10, 10).repeat(50)
    values = np.concatenate([exact, halfway, np.nextafter(halfway, 1), random, [65519.99, 65520.0, -1e9]])
    program = f"""
        import {{ fromNumbers, numbers }} from "{NODE}/dist/node/index.js";
        import {{ readFileSync }} from "node:fs";
        const values = JSON.parse(readFileSync(0));
        const tensor = fromNumbers("float16", [values.length], values);
        console.log(JSON.stringify([[...tensor.data], [...numbers(tensor)].map(String)]));
    """
    command = ["node", "--input-type=module", "--eval", program]
    done = subprocess.run(command, input=json.dumps(values.tolist()), capture_output=True, text=True, check=True)
    bits, read = json.loads(done.stdout)
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    assert bits == expected.view(np.uint16).tolist()
    assert [float(number) for number in read] == expected.tolist()


def test_the_examples_of_the_readme(bundles: Path, tmp_path: Path) -> None:
    """Compiled strictly, and run beside a stateful bundle."""
    examples = re.findall(r"```ts\n(.*?)```", (NODE / "README.md").read_text(), re.DOTALL)
    assert examples
    (NODE / "build").mkdir(exist_ok=True)
    for number, example in enumerate(examples):
        source = NODE / "build" / f"example{number}.ts"
        source.write_text(example)
        types = [
            "--ignoreConfig",
            "--strict",
            "--skipLibCheck",
            "--target",
            "es2023",
            "--module",
            "nodenext",
            "--types",
            "node",
        ]
        subprocess.run(["npx", "tsc", *types, str(source)], cwd=NODE, check=True)
        program = source.with_suffix(".js")
        done = subprocess.run(["node", str(program)], cwd=bundles, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_it_is_a_runtime_of_verify(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", "deep", stateful=True)
    (report,) = verify(bundle, seed=0, runtime=f"program:{CLIENT}").reports
    assert report.passed, report.failure


def test_times(bundles: Path) -> None:
    folder = bundles / "hetero"
    told = run("--time", folder / "model.onnx", folder / "cases.safetensors")
    assert told.returncode == 0, told.stderr
    lines = [line.rpartition(" ") for line in told.stdout.splitlines()]
    assert {name for name, _, _ in lines} == {case.name for case in read_manifest(folder).cases}
    assert all(float(number) > 0 for _, _, number in lines)
    assert run("--time", folder / "model.onnx").returncode == 2
