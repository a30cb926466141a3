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
    "Exported": "assembly",
    "InputError": "errors",
    "LoadError": "errors",
    "Loaded": "loading",
    "Manifest": "bundle.manifest",
    "ParityError": "errors",
    "PlacementError": "errors",
    "Recurrent": "recurrence",
    "Report": "parity",
    "RnnExportError": "errors",
    "Signature": "signature",
    "SignatureError": "errors",
    "Source": "loading",
    "Stream": "streaming.stream",
    "TensorSpec": "signature",
    "UnavailableError": "errors",
    "Verification": "verification",
    "WeightsError": "errors",
    "add_file": "bundle",
    "export_onnx": "export",
    "export_torchscript": "export",
    "load": "loading",
    "read_bundle": "bundle",
    "recur": "recurrence",
    "verify": "verification",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604  ruff does not see that the keys are strings

if TYPE_CHECKING:
    from .assembly import Exported as Exported
    from .bundle import add_file as add_file
    from .bundle import read_bundle as read_bundle
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
    from .loading import Loaded as Loaded
    from .loading import Source as Source
    from .loading import load as load
    from .parity import Report as Report
    from .recurrence import Recurrent as Recurrent
    from .recurrence import recur as recur
    from .signature import Signature as Signature
    from .signature import TensorSpec as TensorSpec
    from .streaming.stream import Stream as Stream
    from .verification import Verification as Verification
    from .verification import verify as verify


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnn_export' has no attribute '{name}'")
    found = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found
