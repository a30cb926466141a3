"""The page's sections on what grows, on loops that an operator computes, and on what an export costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .exporting import OURS, STOCK, VERIFIED
from .records import Export, LoopTimes
from .results import Results, RowResult
from .tables import table


def growth_section(results: Results) -> Iterator[str]:
    """Seconds, memory and file sizes, as far as they were measured."""
    if results.growth:
        yield "## Growth\n"
        yield "One layer, I64 H128, one thread.\n"
        yield "![Seconds of a call against T and against N, each axis logarithmic](benchmarks/growth.svg)\n"
        yield "Milliseconds of a call at N=1:\n"
        yield _series(
            [result for result in results.growth if result.row.shape.N == 1], lambda row: row.row.shape.T, "T"
        )
        yield "Milliseconds of a call at T=35:\n"
        yield _series(
            [result for result in results.growth if result.row.shape.T == 35], lambda row: row.row.shape.N, "N"
        )
    if results.memory:
        yield "The most memory of a process that runs the LSTM at N=1 in ONNX Runtime, in MB:\n"
        yield table(
            ["file", "T", "loaded", "after a run"],
            [[m.file, str(m.T), f"{m.loaded / 1e6:.0f}", f"{m.run / 1e6:.0f}"] for m in results.memory],
        )
    if results.exports:
        yield "Exports with an example of T steps, and of L layers, without verification, in a process that is warm:\n"
        yield _exports(results.exports)


def _series(rows: Sequence[RowResult], size: Callable[[RowResult], int], name: str) -> str:
    sizes = sorted({size(row) for row in rows})
    found: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        for engine, measured in row.timed().items():
            found.setdefault((row.row.model, engine), {})[size(row)] = f"{measured.seconds * 1e3:.3g}"
    head = ["model", "engine", *(f"{name}={value}" for value in sizes)]
    return table(head, [[*key, *(times.get(value, "") for value in sizes)] for key, times in found.items()])


def _exports(exports: Sequence[Export]) -> str:
    return table(
        ["model", "exporter", "T", "L", "seconds", "file, bytes"],
        [[e.model, e.exporter, str(e.T), str(e.L), f"{e.seconds:.2f}", f"{e.bytes:,}"] for e in exports],
    )


def loops_section(results: Results) -> Iterator[str]:
    """Linear attention and causal convolutions in each form; one that was not timed is left out."""
    if not results.loops:
        return
    names = list(dict.fromkeys(name for times in results.loops for name in times.seconds))
    yield "## Linear attention\n"
    yield (
        "Milliseconds at N=1, one thread: 8 heads of 64; `pairs` are `((q k') * mask) v` over all steps at once, and "
        "`chunks` of 64 steps are Mamba-2's form; both are as they were written in the column `scan`. The convolution "
        "has 1,024 channels, 4 taps and SiLU "
        "behind, and its one step is a stream's. `contrib`, `standard` and `scan` are [forms](lowering.md) of ours, "
        "stock is `torch.onnx.export`. In brackets, how many times as long as `contrib`.\n"
    )
    yield table(
        ["loop", *names],
        [[f"{times.loop}, T={times.T}", *(_loop_cell(times, name) for name in names)] for times in results.loops],
    )


def _loop_cell(times: LoopTimes, name: str) -> str:
    if name not in times.seconds:
        return ""
    value, own = times.seconds[name], times.seconds["contrib"]
    return f"{value * 1e3:.3g}" + (f" ({value / own:.2f}x)" if name != "contrib" else "")


def export_section(results: Results) -> Iterator[str]:
    """Whole processes, and their memory."""
    if not results.processes:
        return
    seconds = {process.command: process.seconds for process in results.processes}
    yield "## The export itself\n"
    yield "Whole processes, from start to end, in turn, with one thread; the model is `hetero`:\n"
    yield table(["command", "seconds"], [[f"`{command}`", f"{value:.2f}"] for command, value in seconds.items()])
    more = seconds[OURS] - seconds[STOCK]
    proof = seconds[VERIFIED] - seconds[OURS]
    yield (
        f"An export without verification takes {abs(more):.2f} s {'more' if more > 0 else 'less'} than the deprecated "
        f"exporter; verification takes {proof:.2f} s, {proof / seconds[OURS]:.2f} times the rest.\n"
    )
    yield "The most memory of a process that exports an LSTM of 210 MB, in all and beyond `import torch`:\n"
    yield table(
        ["process", "MB", "times the weights"],
        [
            [f"`{peak.what}`", f"{peak.bytes / 1e6:.0f}", f"{peak.times_weights:.2f}" if peak.times_weights else ""]
            for peak in results.peaks
        ],
    )


def mamba_section(results: Results) -> Iterator[str]:
    """A step of a block whose loop and convolution are both found in the graph."""
    if not results.mamba:
        return
    yield "## A step of a Mamba block\n"
    yield (
        "Microseconds, one thread, N=1: a step written by hand in eager PyTorch, as the authors' is, and `Stream.step` "
        "of the file of the model over whole sequences (`stateful=True`); the fastest of five rounds in turn:\n"
    )
    yield table(
        ["d_model", "eager PyTorch", "ours", "times"],
        [[str(s.size), f"{s.eager:.0f}", f"{s.stream:.0f}", f"{s.eager / s.stream:.1f}"] for s in results.mamba],
    )
