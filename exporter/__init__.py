"""Get recurrent PyTorch models out of Python, correctly: export to ONNX and TorchScript, and verify the result.

Everything that the command line does is here: `load`, `export_onnx`, `export_torchscript` and `verify`, with what they
take and return; `write_report`, `write_triton` and others that make something from a bundle; and `Stream`, which runs
what was exported. Names are imported when first used, so that neither `import rnn_export` nor `Stream` imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__

_HOMES = {
    "BundleError": "errors",
    "CaptureError": "errors",
    "Diagnosis": "runtimes.doctor",
    "Exported": "bundle.assemble",
    "ExportedPipeline": "pipelines.export",
    "FailingCase": "parity.failing_case",
    "Fault": "parity.fault",
    "FixedDecisionError": "errors",
    "FloatRange": "spec.float_range",
    "InputError": "errors",
    "Inspection": "publish.inspect",
    "InternalError": "errors",
    "Latency": "stream.latency",
    "LoadError": "errors",
    "Loaded": "pytorch.load",
    "Manifest": "bundle.manifest",
    "OnnxOptions": "spec.options",
    "ParityError": "errors",
    "Part": "pipelines.parts",
    "Pipeline": "stream.pipeline",
    "InterfaceError": "errors",
    "PlacementError": "errors",
    "ProviderOptions": "runtimes.session",
    "Recurrent": "recurrence",
    "Report": "parity.report",
    "RnnExportError": "errors",
    "Signature": "spec.signature",
    "SignatureError": "errors",
    "Source": "spec.artifact",
    "Stream": "stream.stream",
    "TensorSpec": "spec.signature",
    "Text": "spec.pipeline",
    "TorchScriptOptions": "spec.options",
    "Transducer": "spec.pipeline",
    "UnavailableError": "errors",
    "UndescribedInputsError": "errors",
    "Verification": "verification",
    "WeightsError": "errors",
    "WrittenFiles": "publish.copy_bundle",
    "add_file": "bundle.complete",
    "copy_bundle": "publish.copy_bundle",
    "diagnose": "runtimes.doctor",
    "export_onnx": "export",
    "export_pipeline": "pipelines.export",
    "export_torchscript": "export",
    "inspect": "publish.inspect",
    "load": "pytorch.load",
    "measure_latency": "stream.latency",
    "read_bundle": "bundle.files",
    "recur": "recurrence",
    "recur_until": "recurrence",
    "replay": "verification",
    "to_onnx": "export",
    "verify": "verification",
    "write_fault": "parity.fault",
    "write_genai": "publish.genai",
    "write_junit": "publish.junit",
    "write_onnx_tests": "publish.onnx_tests",
    "write_report": "publish.report",
    "write_triton": "publish.triton",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604  ruff does not see that the keys are strings

if TYPE_CHECKING:
    from .bundle.assemble import Exported as Exported
    from .bundle.complete import add_file as add_file
    from .bundle.files import read_bundle as read_bundle
    from .bundle.manifest import Manifest as Manifest
    from .errors import BundleError as BundleError
    from .errors import CaptureError as CaptureError
    from .errors import FixedDecisionError as FixedDecisionError
    from .errors import InputError as InputError
    from .errors import InterfaceError as InterfaceError
    from .errors import InternalError as InternalError
    from .errors import LoadError as LoadError
    from .errors import ParityError as ParityError
    from .errors import PlacementError as PlacementError
    from .errors import RnnExportError as RnnExportError
    from .errors import SignatureError as SignatureError
    from .errors import UnavailableError as UnavailableError
    from .errors import UndescribedInputsError as UndescribedInputsError
    from .errors import WeightsError as WeightsError
    from .export import export_onnx as export_onnx
    from .export import export_torchscript as export_torchscript
    from .export import to_onnx as to_onnx
    from .parity.failing_case import FailingCase as FailingCase
    from .parity.fault import Fault as Fault
    from .parity.fault import write_fault as write_fault
    from .parity.report import Report as Report
    from .pipelines.export import ExportedPipeline as ExportedPipeline
    from .pipelines.export import export_pipeline as export_pipeline
    from .pipelines.parts import Part as Part
    from .publish.copy_bundle import WrittenFiles as WrittenFiles
    from .publish.copy_bundle import copy_bundle as copy_bundle
    from .publish.genai import write_genai as write_genai
    from .publish.inspect import Inspection as Inspection
    from .publish.inspect import inspect as inspect
    from .publish.junit import write_junit as write_junit
    from .publish.onnx_tests import write_onnx_tests as write_onnx_tests
    from .publish.report import write_report as write_report
    from .publish.triton import write_triton as write_triton
    from .pytorch.load import Loaded as Loaded
    from .pytorch.load import load as load
    from .recurrence import Recurrent as Recurrent
    from .recurrence import recur as recur
    from .recurrence import recur_until as recur_until
    from .runtimes.doctor import Diagnosis as Diagnosis
    from .runtimes.doctor import diagnose as diagnose
    from .runtimes.session import ProviderOptions as ProviderOptions
    from .spec.artifact import Source as Source
    from .spec.float_range import FloatRange as FloatRange
    from .spec.options import OnnxOptions as OnnxOptions
    from .spec.options import TorchScriptOptions as TorchScriptOptions
    from .spec.pipeline import Text as Text
    from .spec.pipeline import Transducer as Transducer
    from .spec.signature import Signature as Signature
    from .spec.signature import TensorSpec as TensorSpec
    from .stream.latency import Latency as Latency
    from .stream.latency import measure_latency as measure_latency
    from .stream.pipeline import Pipeline as Pipeline
    from .stream.stream import Stream as Stream
    from .verification import Verification as Verification
    from .verification import replay as replay
    from .verification import verify as verify


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnn_export' has no attribute '{name}'")
    found = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
