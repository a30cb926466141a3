"""Run a model of several graphs: greedy decoding, with numpy and ONNX Runtime alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..bundle.pipeline_file import read_graph, read_pipeline
from ..errors import InputError, first_line
from ..spec.decoding import Choose, Decoding, likeliest
from ..spec.dims import parse
from ..spec.pipeline import Begin, Transducer
from ..spec.pipeline import Pipeline as Spec
from .session import step_options

Array = NDArray[Any]


class Pipeline:
    """A model of several graphs, opened from the folder that `export_pipeline` wrote.

    Args:
        folder: the one with `pipeline.json`.

    Raises:
        BundleError: it is none, or was changed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.spec: Spec = read_pipeline(Path(folder))
        self._files = Files(Path(folder), self.spec)
        self._decoding = self.decoding()

    def run(self, **inputs: Array) -> list[int]:
        """The tokens of one sequence, from its beginning; inputs by name, of one sequence, as `spec.inputs` has them.

        Raises:
            InputError: an input is missing or does not fit, or ONNX Runtime raises.
        """
        self.reset()
        self._check(inputs)
        return self._decoding.feed(inputs)

    def feed(self, **inputs: Array) -> list[int]:
        """The tokens of the next chunk of a transducer's input; a `stateful` encoder goes on where it was.

        Raises:
            InputError: as for `run`, or it is no transducer.
        """
        if not isinstance(self.spec.decoding, Transducer):
            raise InputError("Text is written from a whole input. Use `run`; chunks are for transducers.")
        self._check(inputs)
        return self._decoding.feed(inputs)

    def reset(self) -> None:
        """Go back to the beginning."""
        self._decoding = self.decoding()

    def decoding(self, choose: Choose = likeliest) -> Decoding:
        """Another sequence, whose tokens `choose` chooses."""
        return Decoding(self.spec, self._files, choose)

    def _check(self, inputs: Mapping[str, Array]) -> None:
        for name, described in self.spec.inputs.items():
            given = inputs.get(name)
            dtype, dims = parse(described)
            fits = isinstance(given, np.ndarray) and given.dtype == dtype and given.ndim == len(dims)
            if not fits or 0 in given.shape:  # type: ignore[union-attr]
                raise InputError(f"The input '{name}' is to be {described}, of one element at least. Give it so.")
        for name in inputs:
            if name not in self.spec.inputs:
                raise InputError(f"There is no input '{name}'. Give {', '.join(self.spec.inputs)}.")


class Files:
    """The model files of a pipeline, each opened once."""

    def __init__(self, folder: Path, spec: Spec) -> None:
        sessions: dict[Path, ort.InferenceSession] = {}
        self._sessions: dict[str, ort.InferenceSession] = {}
        for name, graph in spec.graphs.items():
            path, _ = read_graph(folder, graph)
            if path not in sessions:
                sessions[path] = ort.InferenceSession(path, step_options(), providers=["CPUExecutionProvider"])
            self._sessions[name] = sessions[path]
        self._outputs = {
            name: [output.name for output in session.get_outputs()] for name, session in self._sessions.items()
        }

    def begin(self, graph: str, state: str, begin: Begin) -> Array:
        return begin.array()

    def run(self, graph: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        names = self._outputs[graph]
        try:
            found = self._sessions[graph].run(names, dict(inputs))
        except Exception as error:  # onnxruntime raises classes of its own that have no common base
            raise InputError(f"ONNX Runtime cannot run '{graph}' ({first_line(error).rstrip('.')}).") from error
        return dict(zip(names, found, strict=True))
