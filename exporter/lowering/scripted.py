"""STOPGAP for Python loops over time: TorchScript and PyTorch's deprecated exporter, which make one ONNX `Loop`.

`torch.export` unrolls such loops to the example's length. Until they are rolled back into a `Scan`, `lower_scripted` is
the only caller of the deprecated exporter, and to delete this module and `plain_cells` is to be rid of it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn

from ..errors import CaptureError, first_line
from ..quiet import quiet
from ..signature import Signature
from .plain_cells import with_plain_cells
from .translate import OPSET


def lower_scripted(model: nn.Module, signature: Signature, example: Mapping[str, Tensor]) -> ir.Model:
    """The ONNX model of a scriptable module, its Python loops as `Loop`, at opset `OPSET`.

    Raises:
        CaptureError: the model cannot be scripted, or its script has no ONNX form.
    """
    try:
        with quiet(), _silent_stdout(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scripted.onnx"
            torch.onnx.export(
                torch.jit.script(with_plain_cells(model)),
                tuple(example.values()),
                path,
                dynamo=False,
                opset_version=OPSET,
                input_names=list(signature.inputs),
                output_names=list(signature.outputs),
                dynamic_axes={
                    name: {axis: dim for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
                    for name, spec in signature.inputs.items()
                },
            )
            return ir.from_proto(onnx.load(path))
    except Exception as error:  # the TorchScript compiler and the exporter raise many kinds
        raise CaptureError(f"TorchScript cannot compile the model ({first_line(error)}).") from error


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Drop what the exporter prints from C++ when it fails: a listing of its graph."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
