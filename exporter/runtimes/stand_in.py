"""Write a package called `onnxruntime` that holds nothing, and requires the variant of ONNX Runtime that is there."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from zipfile import ZipFile

DEFAULT = "onnxruntime"


def write_stand_in(folder: Path, variant: str, version: str) -> Path:
    """The wheel for a variant such as `onnxruntime-gpu`; its version is the variant's, with the name as a label."""
    labelled = f"{version.partition('+')[0]}+{variant.removeprefix(DEFAULT + '-').replace('-', '.')}"
    info = f"{DEFAULT}-{labelled}.dist-info"
    files = {
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {DEFAULT}\nVersion: {labelled}\n"
            f"Summary: Stands in for {DEFAULT}, whose module {variant} holds. Written by rnn-export install.\n"
            f"Requires-Dist: {variant}>={version}\n"
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: rnn-export\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text.encode())}\n" for name, text in files.items())
    path = folder / f"{DEFAULT}-{labelled}-py3-none-any.whl"
    with ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(name, text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
