"""Recurrent layers, exported and verified on an execution provider, and a row for the table of what ran where."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from rnn_export import Report, export_onnx, verify
from rnn_export.pytorch.load import Loaded, load_with
from rnn_export.runtimes.session import ProviderOptions
from rnn_export.spec.forms import Lowering, Target

KINDS: dict[str, dict[str, Any]] = {
    "rnn_tanh": {"nonlinearity": "tanh"},
    "rnn_relu": {"nonlinearity": "relu"},
    "gru": {},
    "lstm": {},
}
LAYERS = list(product(KINDS, (1, 2), (False, True)))
# What takes the time of a recurrent model, whichever form it has.
HEAVY = ("RNN", "GRU", "LSTM", "MatMul", "Gemm", "FusedGemm", "FusedMatMul")
I, H = 20, 32  # noqa: E741  the field's names

Record = Callable[[str, object], None]


def layer(kind: str, layers: int, bidirectional: bool) -> Loaded:
    sizes = {"input_size": I, "hidden_size": H, "num_layers": layers, "bidirectional": bidirectional}
    outputs = ["output", "h_n", *(["c_n"] if kind == "lstm" else [])]
    name = f"torch.nn:{kind.partition('_')[0].upper()}"
    return load_with(name, {**sizes, **KINDS[kind]}, inputs={"x": f"float32[T, N, {I}]"}, outputs=outputs, seed=0)


def verified(
    runtime: str,
    target: Target,
    architecture: tuple[str, int, bool],
    out: Path,
    record: Record,
    *,
    lowering: Lowering = "auto",
    provider_options: ProviderOptions | None = None,
) -> Report:
    """The report of all default cases of a layer on the runtime, its placement recorded for the table."""
    loaded = layer(*architecture)
    export_onnx(
        loaded.model, loaded.signature, out, target=target, lowering=lowering, source=loaded.source, verify=False
    )
    (report,) = verify(out, seed=0, runtime=runtime, provider_options=provider_options).reports
    record("placement", row(architecture, lowering, report))
    return report


def row(architecture: tuple[str, int, bool], lowering: str, report: Report) -> str:
    kind, layers, bidirectional = architecture
    name = f"{kind} {layers}{' both ways' if bidirectional else ''}"
    elsewhere = sorted({ran.operator for ran in report.placement.nodes if ran.provider != report.placement.provider})
    there = [f"{ran.operator} {ran.runs}" for ran in on(report) if ran.operator in HEAVY or "subgraph" in ran.operator]
    return (
        f"{name:22}{lowering:8}{'right' if report.right else 'WRONG':7}{report.ratio:5.0%} of the limit  "
        f"{report.placement.provider.removesuffix('ExecutionProvider')}: {', '.join(there) or 'nothing'}"
        f"{'; CPU: ' + ', '.join(elsewhere) if elsewhere else ''}"
    )


def on(report: Report) -> list[Any]:
    """What ran on the provider that was asked for."""
    return [ran for ran in report.placement.nodes if ran.provider == report.placement.provider]


def heavy_elsewhere(report: Report) -> list[str]:
    """The operators that take the time and ran on another provider."""
    there = {id(ran) for ran in on(report)}
    return [ran.operator for ran in report.placement.nodes if ran.operator in HEAVY and id(ran) not in there]
