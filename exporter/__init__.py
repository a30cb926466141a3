"""Recurrent PyTorch models out of Python, correctly: export to ONNX and TorchScript, and proof that they are right.

`load`, `export_onnx`, `export_torchscript` and `verify` are the command line's words; they and what they take and
return are all there is, and `Stream`, which runs what was exported. Names are imported when first used, so that
`import rnn_export` does not import torch, nor does `Stream`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "BundleError": "errors",
    "CaptureError": "errors",
    "Exported": "bundle.assemble",
    "InputError": "errors",
    "LoadError": "errors",
    "Loaded": "pytorch.load",
    "Manifest": "bundle.manifest",
    "ParityError": "errors",
    "PlacementError": "errors",
    "Recurrent": "recurrence",
    "Report": "parity.report",
    "RnnExportError": "errors",
    "Signature": "spec.signature",
    "SignatureError": "errors",
    "Source": "spec.source",
    "Stream": "stream.stream",
    "TensorSpec": "spec.signature",
    "UnavailableError": "errors",
    "Verification": "verification",
    "WeightsError": "errors",
    "add_file": "bundle.files",
    "export_onnx": "export",
    "export_torchscript": "export",
    "load": "pytorch.load",
    "read_bundle": "bundle.files",
    "recur": "recurrence",
    "verify": "verification",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604  ruff does not see that the keys are strings

if TYPE_CHECKING:
    from .bundle.assemble import Exported as Exported
    from .bundle.files import add_file as add_file
    from .bundle.files import read_bundle as read_bundle
    from .bundle.manifest import Manifest as Manifest
    from .errors import BundleError as BundleError
    from .errors import CaptureError as CaptureError
    from .errors import InputError as InputError
    from .errors import LoadError as LoadError
    from .errors import ParityError as ParityError
    from .errors import PlacementError as PlacementError
    from .errors import RnnExportError as RnnExportError
    from .errors import SignatureError as SignatureError
    from .errors import UnavailableError as UnavailableError
    from .errors import WeightsError as WeightsError
    from .export import export_onnx as export_onnx
    from .export import export_torchscript as export_torchscript
    from .parity.report import Report as Report
    from .pytorch.load import Loaded as Loaded
    from .pytorch.load import load as load
    from .recurrence import Recurrent as Recurrent
    from .recurrence import recur as recur
    from .spec.signature import Signature as Signature
    from .spec.signature import TensorSpec as TensorSpec
    from .spec.source import Source as Source
    from .stream.stream import Stream as Stream
    from .verification import Verification as Verification
    from .verification import verify as verify


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnn_export' has no attribute '{name}'")
    found = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found
