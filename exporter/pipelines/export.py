"""Export a model of several graphs, wire the graphs, and verify that they decode as PyTorch does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs
from msgspec.structs import replace

from ..bundle.files import read_bundle
from ..bundle.pipeline_file import foreign_in_pipeline, write_pipeline
from ..bundle.replace import replacing
from ..errors import InputError, did_you_mean
from ..export import ONNX, export_onnx
from ..pytorch.made_cases import CaseMaker, find_made_cases
from ..spec.options import OnnxOptions
from ..spec.pipeline import Checked, Pipeline, Text, Transducer
from ..stream.pipeline import Files
from .compare import Comparison
from .eager import EagerGraph
from .inputs import Drawn, as_called
from .parts import Part
from .wire import Start, Written, wire


@dataclass(frozen=True)
class ExportedPipeline:
    """What was written: the folder, how the graphs fit together and what was compared, and remarks."""

    folder: Path
    pipeline: Pipeline
    notes: tuple[str, ...]

    @property
    def checked(self) -> Checked | None:
        """What was compared with PyTorch; None where verification was left out."""
        return self.pipeline.checked

    @property
    def bundles(self) -> list[str]:
        """The folders beside `pipeline.json`."""
        return list(dict.fromkeys(graph.bundle for graph in self.pipeline.graphs.values()))

    @property
    def verdict(self) -> str:
        """What was compared, in a sentence."""
        if self.checked is None:
            return "Not verified."
        checked, ties = self.checked, f", {self.checked.ties} of them ties" if self.checked.ties else ""
        return (
            f"Decodes as PyTorch does: {checked.tokens} tokens of {checked.sequences} sequences, {checked.choices} "
            f"choices{ties}, the largest error of a logit {checked.largest_error_over_limit:.2g} of its limit."
        )

    def to_json(self) -> dict[str, Any]:
        """What was compared, as `pipeline.json` has it."""
        return {} if self.checked is None else structs.asdict(self.checked)

    def __repr__(self) -> str:
        verdict = "not verified" if self.checked is None else f"verified with {self.checked.sequences} sequences"
        return f"<ExportedPipeline: {self.folder}, {', '.join(self.pipeline.graphs)}, {verdict}>"


def export_pipeline(
    graphs: Mapping[str, Part | str],
    decoding: Transducer | Text,
    out: str | Path,
    *,
    logits: str | Sequence[str],
    wiring: Mapping[str, str],
    start: Start = None,
    reference: Callable[..., Any] | None = None,
    cases: CaseMaker | str | None = None,
    batch: str = "N",
    options: OnnxOptions | None = None,
) -> ExportedPipeline:
    """Export the graphs of a model, each verified by itself, and verify that they decode as PyTorch does.

    Args:
        graphs: by name, in the order in which they run. A text is the name of an earlier graph, whose file is used
            again: a language model reads its prompt and writes with one file.
        decoding: what is emitted until when.
        out: the folder, with a bundle for each graph and `pipeline.json`.
        logits: the output that tokens are chosen from, such as "joiner.logits"; where the first one is chosen from
            what runs once, both: ["prefill.logits", "step.logits"].
        wiring: what feeds an input: `"joiner.encoder": "encoder.out[:, t]"` is a frame without its dimension,
            `[:, t:t+1]` with it; `"step.token": "token"` the last tokens, `"step.h0": "encoder.h_n"` what a state
            begins with. Inputs of the first graph that nothing is said of are given to the pipeline.
        start: the tokens before the first: one, or as many as a graph reads; a transducer's is its blank if not given.
        reference: your own greedy decoder in PyTorch: called with the pipeline's inputs by name, as tensors of one
            sequence, it returns the tokens.
        cases: a function that makes the inputs: `make(sizes, seed)` returns an array for each.
        batch: the name of the dimension that counts sequences; a pipeline decodes one at a time.
        options: for every graph; `stateful` is said of each by itself.

    Raises:
        ParityError: a graph computes, or all of them decode, something else than PyTorch.
        CaptureError: a graph cannot be exported as it stands.
        InputError: the wiring does not fit, or reduced-precision weights are asked for.
    """
    options = options or OnnxOptions()
    _check(graphs, options)
    out = Path(out)
    notes: list[str] = []
    with replacing(out, what="pipeline", foreign=foreign_in_pipeline) as folder:
        written: dict[str, Written] = {}
        eager: dict[str, EagerGraph] = {}
        for name, part in graphs.items():
            if isinstance(part, str):
                written[name], eager[name] = written[part], eager[part]
            else:
                notes += [f"{name}: {note}" for note in _export(part, folder / name, options)]
                written[name] = Written(name, ONNX, folder / name, read_bundle(folder / name))
                eager[name] = _eager(part, written[name])
        pipeline = wire(out.name, written, wiring, decoding, logits, start, batch)
        if options.verify:
            comparison = Comparison(pipeline, Files(folder, pipeline), eager, as_called(reference))
            checked = Drawn(pipeline, written, batch, find_made_cases(cases), options.seed).compare(comparison)
            pipeline = replace(pipeline, checked=checked)
            notes += _notes(checked)
        write_pipeline(folder, pipeline)
    return ExportedPipeline(out, pipeline, tuple(notes))


def _check(graphs: Mapping[str, Part | str], options: OnnxOptions) -> None:
    """Check what can be seen before anything is exported.

    Raises:
        InputError: a graph is none, or has no name, or options are given that tokens cannot be compared with.
    """
    if options.weights_precision() is not None:
        raise InputError(
            "Weights of less precision may choose other tokens, so that none could be compared. Leave out `quantize` "
            "and `precision`."
        )
    if options.stateful:
        raise InputError("Which graph carries hidden states is said of each: Part(..., stateful=True).")
    earlier: list[str] = []
    for name, part in graphs.items():
        if not name.isidentifier():
            raise InputError(f"'{name}' is no name for a graph. Use letters, digits and underscores.")
        if isinstance(part, str) and part not in earlier:
            raise InputError(
                f"'{name}' is the file of '{part}', which is no graph before it.{did_you_mean(part, earlier)}"
            )
        if not isinstance(part, str | Part):
            raise InputError(f"The graph '{name}' is a {type(part).__name__}. Give Part(module, inputs).")
        earlier.append(name)


def _export(part: Part, folder: Path, options: OnnxOptions) -> tuple[str, ...]:
    own = dataclasses.replace(options, stateful=part.stateful)
    return export_onnx(part.module, part.signature, folder, own).notes


def _eager(part: Part, written: Written) -> EagerGraph:
    outputs = written.manifest.outputs
    return EagerGraph.of(part.module.eval(), written.manifest.signature, outputs, written.artifact.stream)


def _notes(checked: Checked) -> list[str]:
    notes = []
    if not checked.reference:
        notes.append("The wiring is as you told: no decoder of your own was compared. Give one as `reference`.")
    if not checked.tokens:
        notes.append("No token was emitted greedily; compared were logits along random tokens. Give trained weights.")
    if checked.ties:
        notes.append(
            f"{checked.ties} of {checked.choices} choices are ties: float64 has two tokens closer together than "
            "float32 can tell, and PyTorch takes the other."
        )
    return notes
