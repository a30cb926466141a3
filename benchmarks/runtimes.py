"""What runs a bundle, and what it takes: writes docs/internals/runtimes.md. Run as `make runtimes`, on a quiet machine.

One LSTM layer is exported for each runtime, verified in it, and timed at one step and at a batch; by the program itself
where it is one, so that no process or file is counted. One thread each.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
import safetensors.numpy
import torch
from numpy.typing import NDArray
from rnn_export import Report, export_onnx, export_torchscript, verify
from rnn_export.pytorch.load import load_with
from rnn_export.runtimes.open import open_session, runs
from rnn_export.runtimes.program import about
from rnn_export.spec.forms import Target

Array = NDArray[np.generic]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "internals" / "runtimes.md"
I, H = 100, 256  # noqa: E741  the field's names
SIZES = {"one step": (1, 1), "T=35 N=32": (35, 32)}
# What OpenVINO looks for beside itself: the CPU's plug-in, and the reader of ONNX files.
LOADED = ("libopenvino_intel_cpu_plugin.so", "libopenvino_onnx_frontend.so.*")
OUTPUTS = ("output", "h_n", "c_n")
SECONDS, WARM = 0.6, 0.1
# All runtimes are timed one after the other, so often; what else the machine does hits one round or another.
ROUNDS = 5

REMARKS = """
* Errors are the largest over ordinary inputs, against the model in float64; limits are those of [parity.md](parity.md).
* Times are medians of a run, the least of five such, taken in turn with the others, by the program itself. Those of
  tract and onnx.reference, which run in a process of their own, are of the whole exchange, files included.
* The size is the Python package's folder, or the program with the libraries that it is linked with; for Node, which is
  not counted, the client and ONNX Runtime's library; for the browser, which is not counted either, the page's own code
  and ONNX Runtime's.
* In the browser, Debian's headless chromium, the built page of [clients/web](../../clients/web/README.md) runs the
  cases. Its clock has steps of 0.1 ms, so that as many runs as take 10 ms are timed as one. WebAssembly has one thread:
  more of them need headers that a plain server does not send. WebGPU has no GPU here but SwiftShader, a driver in
  software that uses every core: every node of the model runs on it, and its times say nothing of a GPU.
"""


@dataclass(frozen=True)
class Runtime:
    """A runtime of `verify`, the language that it is used from, what it was exported for, and what is to be shipped."""

    name: str
    language: str
    target: Target
    ships: Callable[[], int]

    @property
    def program(self) -> str:
        return self.name.partition("program:")[2]


@dataclass(frozen=True)
class Row:
    runtime: str
    language: str
    artifact: str
    report: Report
    microseconds: Mapping[str, float]
    bytes: int


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cases = Path(folder) / "cases.safetensors"
        safetensors.numpy.save_file({f"{name}/inputs/x": array for name, array in inputs().items()}, cases)
        exports = [(runtime, exported(Path(folder), runtime.target)) for runtime in found()]
        rounds = []
        for i in range(ROUNDS):
            rounds.append([times(runtime, bundle, cases) for runtime, bundle in exports])
            print(f"timed, round {i + 1} of {ROUNDS}", flush=True)
        rows = []
        for (runtime, bundle), *taken in zip(exports, *rounds, strict=True):
            print(f"{runtime.language}: {runtime.name}", flush=True)
            rows.append(row_of(runtime, bundle, {name: min(each[name] for each in taken) for name in SIZES}))
    PAGE.write_text(page(rows), encoding="utf-8")
    print(f"Wrote {PAGE.relative_to(ROOT)}")


def found() -> Iterator[Runtime]:
    clients = ROOT / "build" / "clients"
    yield Runtime("onnxruntime:cpu", "Python", "cpu", lambda: folder_of("onnxruntime"))
    yield Runtime("torchscript", "Python", "cpu", lambda: folder_of("torch"))
    yield Runtime("tract", "Python", "portable", lambda: folder_of("tract"))
    yield Runtime("onnx.reference", "Python", "portable", lambda: folder_of("onnx"))
    for name, target in (("onnxruntime", "cpu"), ("openvino", "openvino"), ("libtorch", "cpu")):
        file = clients / name / f"rnn-export-{name}"
        yield Runtime(f"program:{file}", "C++", target, lambda file=file: linked(file))  # type: ignore[misc, arg-type]
    node = ROOT / "clients" / "node"
    yield Runtime(f"program:{node / 'client.mjs'}", "Node", "cpu", lambda: node_modules(node))
    web = ROOT / "clients" / "web"
    yield Runtime(f"program:{web / 'chromium' / 'wasm.js'}", "browser", "web", lambda: web_page(web, "wasm"))
    yield Runtime(f"program:{web / 'chromium' / 'webgpu.js'}", "browser", "webgpu", lambda: web_page(web, "webgpu"))


def inputs() -> dict[str, Array]:
    draw = np.random.default_rng(0)
    return {name: draw.standard_normal((T, N, I), np.float32) for name, (T, N) in SIZES.items()}


def exported(folder: Path, target: Target) -> Path:
    out = folder / target
    if not out.exists():
        loaded = load_with(
            "torch.nn:LSTM",
            {"input_size": I, "hidden_size": H},
            inputs={"x": f"float32[T, N, {I}]"},
            outputs=OUTPUTS,
            seed=0,
        )
        export_torchscript(loaded.model, loaded.signature, out, source=loaded.source, verify=False)
        export_onnx(loaded.model, loaded.signature, out, source=loaded.source, target=target, verify=False)
    return out


def times(runtime: Runtime, bundle: Path, cases: Path) -> Mapping[str, float]:
    """Microseconds of a run, by what it is of."""
    if not runtime.program:
        return timed(runtime, bundle / file_of(runtime))
    command: list[str | Path] = [runtime.program, "--time", bundle / file_of(runtime), cases]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.rpartition(" ") for line in told.splitlines()]
    return {name: float(number) for name, _, number in lines}


def row_of(runtime: Runtime, bundle: Path, microseconds: Mapping[str, float]) -> Row:
    (report,) = verify(bundle, seed=0, runtime=runtime.name).reports
    if runtime.program:
        name = re.sub(r"(\d)-\S+$", r"\1", about(runtime.program).runtime)  # OpenVINO's goes on with its commit
    else:
        name = f"{runtime.name} {report.placement.version}"
    return Row(name, runtime.language, file_of(runtime), report, microseconds, runtime.ships())


def file_of(runtime: Runtime) -> str:
    return next(name for name in ("model.onnx", "model.pt") if runs(runtime.name, name))


def timed(runtime: Runtime, file: Path) -> dict[str, float]:
    """Microseconds of a run in this process; of a package in one of its own, with what it costs to hand over."""
    run = one_thread(file) if runtime.name.startswith("onnxruntime") else open_session(runtime.name, file, OUTPUTS).run
    return {name: microseconds(partial(run, {"x": x})) for name, x in inputs().items()}


def one_thread(file: Path) -> Callable[[Mapping[str, Array]], object]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return partial(ort.InferenceSession(file, options, providers=["CPUExecutionProvider"]).run, None)


def microseconds(run: Callable[[], object]) -> float:
    taken: list[float] = []
    begin = now = time.perf_counter()
    while not taken or now - begin < SECONDS:
        run()
        end = time.perf_counter()
        if end - begin > WARM:
            taken.append((end - now) * 1e6)
        now = end
    return median(taken)


def folder_of(package: str) -> int:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return size(Path(spec.origin).parent.rglob("*"))


def linked(program: Path) -> int:
    """The program, and the libraries that are not the system's: those it is linked with, and what these load."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [Path(line.split("=>")[1].split()[0]) for line in told.splitlines() if "=> /" in line]
    own = [file for file in libraries if not str(file).startswith(("/lib", "/usr/lib"))]
    loaded = [file for library in own for pattern in LOADED for file in library.resolve().parent.glob(pattern)]
    return size({file.resolve() for file in (program, *own, *loaded)})


def node_modules(client: Path) -> int:
    """The client's own code and the runtime's library for this machine; Node itself is not counted."""
    own = [*(client / "dist").rglob("*.js"), client / "client.mjs"]
    return size([*own, *(client / "node_modules" / "onnxruntime-node" / "bin").rglob("linux/x64/*")])


def web_page(client: Path, backend: str) -> int:
    """The page's own code and what it loads of ONNX Runtime, as counted when it was built; the browser is not."""
    sizes: dict[str, int] = json.loads((client / "dist" / "sizes.json").read_text(encoding="utf-8"))
    return sizes["own"] + sizes[backend]


def size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())


def page(rows: Sequence[Row]) -> str:
    lines = [
        "# Runtimes",
        "",
        f"One LSTM layer (I={I}, H={H}), exported and run in each runtime, one thread. Written by `make runtimes`.",
        "",
        "| runtime | language | artifact | cases | largest error | of its limit | "
        f"{' | '.join(SIZES)} | size to ship |",
        f"| {' | '.join(['---'] * (7 + len(SIZES)))} |",
        *map(line_of, rows),
    ]
    return "\n".join(lines) + "\n" + REMARKS


def line_of(row: Row) -> str:
    ordinary = [case for case in row.report.cases if case.case.values == "ordinary"]
    error = max(output.error for case in ordinary for output in case.outputs)
    passed = sum(case.verdict in ("PASS", "EXPECTED") for case in row.report.cases)
    times = " | ".join(f"{row.microseconds[name]:,.0f} µs" for name in SIZES)
    return (
        f"| {row.runtime} | {row.language} | `{row.artifact}` | {passed} of {len(row.report.cases)} right | "
        f"{error:.1e} | {row.report.ratio:.0%} | {times} | {row.bytes / 1e6:,.0f} MB |"
    )


if __name__ == "__main__":
    main()
