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
from typing import Any

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
from rnn_export.spec.artifact import Baseline

from clients.exported import RIGHT, STATEFUL
from clients.readme_programs import assert_same, expected, numbers_of, printed_by, program_in

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


def programs_lines(folder: Path, scratch: Path) -> list[str]:
    """What the JavaScript program in a bundle's README prints."""
    (scratch / "node_modules").symlink_to(NODE / "node_modules")
    program = scratch / "program.mjs"
    program.write_text(program_in(folder, "JavaScript, ONNX Runtime"))
    return printed_by("node", program, folder=folder)


@pytest.mark.parametrize("name", [name for name in RIGHT if name != "half"])
def test_the_program_in_a_readme_prints_what_the_one_in_python_does(name: str, bundles: Path, tmp_path: Path) -> None:
    assert_same(numbers_of(programs_lines(bundles / name, tmp_path)), expected(bundles / name))


def test_the_program_of_a_float16_model_prints_shapes(bundles: Path, tmp_path: Path) -> None:
    lines = programs_lines(bundles / "half", tmp_path)
    assert lines == ["output [ 7, 5, 4 ]", "h_n [ 1, 5, 4 ]"]


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
    manifest = read_manifest(folder)
    rows = run("--check", folder, *chunk).stdout.splitlines()
    for item, row in zip(read_cases(folder / "cases.safetensors", manifest), rows, strict=False):
        assert item.reference is not None
        results = [
            judge(
                output,
                got[f"{item.case.name}/outputs/{output}"],
                eager,
                None if item.reference.exact is None else item.reference.exact[output],
                item.reference.eager_error.get(output, 0.0),
                manifest.baseline.get(output, Baseline(0.0, 0.0)),
                bound=manifest.artifacts["model.onnx"].bound,
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


def test_a_wrong_dtype_and_a_wrong_shape_fail(bundle: Path) -> None:
    """What the file says that PyTorch computed is changed."""
    cases = safetensors.numpy.load_file(bundle / "cases.safetensors")
    cases["ordinary-T7-N5/outputs/output"] = cases["ordinary-T7-N5/outputs/output"].astype(np.float64)
    cases["ordinary-T1-N1/outputs/h_n"] = cases["ordinary-T1-N1/outputs/h_n"][:, :0]
    safetensors.numpy.save_file(cases, bundle / "cases.safetensors")
    renew_hash(bundle, "cases.safetensors")
    done = run("--check", bundle)
    assert done.returncode == 1
    assert "output is float32[7, 5, 4] instead of float64[7, 5, 4]" in done.stdout
    assert "h_n is float32[1, 1, 4] instead of float32[1, 0, 4]" in done.stdout


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_values_must_be_in_place(value: float, bundle: Path) -> None:
    cases = safetensors.numpy.load_file(bundle / "cases.safetensors")
    cases["ordinary-T7-N5/outputs/output"][1, 2, 3] = value
    safetensors.numpy.save_file(cases, bundle / "cases.safetensors")
    renew_hash(bundle, "cases.safetensors")
    done = run("--check", bundle)
    assert done.returncode == 1
    assert re.search(r"output is \S+ at \[1, 2, 3\] where PyTorch has (NaN|Infinity)", done.stdout)


def tighten(bundle: Path, values: str) -> None:
    """Limits that int8 weights do not keep to, and cases of other values."""

    def change(data: dict[str, Any]) -> None:
        for outputs in data["artifacts"]["model.onnx"]["limits"].values():
            outputs.update(dict.fromkeys(outputs, 1e-9))
        for case in data["cases"]:
            case["values"] = values

    edit(bundle, change)


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
    cases = safetensors.numpy.load_file(bundle / "cases.safetensors")
    changed = {name: array[..., :1] if "/outputs/" in name else array for name, array in cases.items()}
    safetensors.numpy.save_file(changed, bundle / "cases.safetensors")
    renew_hash(bundle, "cases.safetensors")
    tighten(bundle, "saturating")
    done = run("--check", bundle)
    assert done.returncode == 1
    assert "EXPECTED" not in done.stdout


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
    done = run("--check", GOLDEN / f"format2-{kind}")
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


def drop_a_case(bundle: Path) -> None:
    cases = safetensors.numpy.load_file(bundle / "cases.safetensors")
    del cases["ordinary-T1-N1/inputs/x"]
    safetensors.numpy.save_file(cases, bundle / "cases.safetensors")
    renew_hash(bundle, "cases.safetensors")


def shorten_reset(bundle: Path) -> None:
    edit(bundle, lambda data: data["artifacts"]["model.onnx"]["stream"]["states"]["rnn.h0"].update(reset=[0, 1]))


def no_cases(bundle: Path) -> None:
    edit(bundle, lambda data: data.update(cases=[]))


def no_limits(bundle: Path) -> None:
    edit(bundle, lambda data: data["artifacts"]["model.onnx"].update(limits={}))


def negative_limit(bundle: Path) -> None:
    edit(bundle, lambda data: data["artifacts"]["model.onnx"]["limits"]["ordinary-T7-N5"].update(output=-1e-9))


BAD_BUNDLES: dict[str, tuple[Spoil, str]] = {
    "no folder": (shutil.rmtree, "lstm/manifest.json is not there."),
    "a file": (lambda bundle: (shutil.rmtree(bundle), bundle.write_text("")), "lstm/manifest.json cannot be read"),
    "no manifest": (lambda bundle: (bundle / "manifest.json").unlink(), "lstm/manifest.json is not there."),
    "no JSON": (lambda bundle: (bundle / "manifest.json").write_text("{"), "is not a manifest (it is not JSON)."),
    "a list": (
        lambda bundle: (bundle / "manifest.json").write_text("[]"),
        "is not a manifest (it is not of type object).",
    ),
    "another format": (lambda bundle: edit(bundle, lambda data: data.update(format=3)), "(format is not 2)"),
    "format 1": (
        lambda bundle: edit(bundle, lambda data: data.update(format=1)),
        "lstm/manifest.json is of format 1; rewrite the bundle with rnn-export bundle OLD --out NEW.",
    ),
    "no limits": (no_limits, "lstm/manifest.json has no limit for output of ordinary-T7-N5. Export the model again."),
    "a limit below 0": (
        negative_limit,
        "is not a manifest (artifacts.model.onnx.limits.ordinary-T7-N5.output is not valid)",
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
    "a case too few": (drop_a_case, "lstm/cases.safetensors does not hold ordinary-T1-N1/inputs/x."),
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
