"""A model captured and translated once, then written in any form and at any opset, and compared with PyTorch.

An export tries 20 sizes and kinds of values; here they are few, for where one model is written in many ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from rnn_export import Signature
from rnn_export.capture.capture import capture
from rnn_export.lowering.forms import forms_for
from rnn_export.lowering.lower import build_graph
from rnn_export.lowering.translate import translate
from rnn_export.onnx_file import write_onnx
from rnn_export.parity.check import check
from rnn_export.parity.expected import Expected, expect
from rnn_export.pytorch.evaluation import evaluating
from rnn_export.pytorch.job import prepare
from rnn_export.pytorch.request import ExportRequest, silent
from rnn_export.pytorch.samples import Case
from rnn_export.runtimes.open import open_session
from rnn_export.spec.forms import Lowering
from torch import nn


@dataclass(frozen=True)
class Translated:
    """A model before its layers are lowered, and what PyTorch computes in each case."""

    graph: ir.Model
    signature: Signature
    expected: Sequence[Expected]


def translated(model: nn.Module, signature: Signature, cases: Sequence[Case]) -> Translated:
    """Capture a model, which has to run in every case."""
    with evaluating(model):
        job = prepare(ExportRequest(model, signature), seed=0, progress=silent)
        graph = translate(capture(model, job.signature, job.tensors), job.signature)
        return Translated(graph, job.signature, expect(model, job.signature, cases))


def written(given: Translated, lowering: Lowering, file: Path, opset: int = 18) -> onnx.ModelProto:
    """The ONNX model with its layers in that form, which has to compute what PyTorch does in every case."""
    forms = forms_for(lowering, "cpu", stateful=False)
    graph = build_graph(given.graph, given.signature, forms, opset, stateful=False, int8=False)
    write_onnx(graph.model, file)
    session = open_session("onnxruntime:cpu", file, given.signature.outputs)
    traced = given.expected[0].case.sizes
    report = check(session, given.expected, artifact=file.name, runtime="onnxruntime:cpu", traced=traced, seed=0)
    assert [result.verdict for result in report.cases] == ["PASS"] * len(given.expected), report.failure
    return onnx.load(file)
