"""Install what runs a runtime; of ONNX Runtime's packages, which hold the same module, one takes another's place.

Who depends on `onnxruntime` finds it installed in either case: in place of the package itself there is one of that name
that holds nothing and requires the other, so that `pip check` is content and a later `pip install` brings back neither.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from ..errors import InputError, UnavailableError
from .programs.packages import PACKAGES
from .provider_table import PROVIDERS, did_you_mean_runtime
from .stand_in import DEFAULT, write_stand_in

Pip = Callable[..., None]


def install(runtime: str, python: str = sys.executable, *, quiet: bool = False) -> str:
    """Install what a runtime is in; returns what is installed now, such as `onnxruntime-webgpu 1.27.0`.

    Args:
        runtime: a name that `rnn-export doctor` lists.
        python: the program whose environment it is installed in.
        quiet: have pip tell of errors alone.

    Raises:
        InputError: nothing is known that installs it.
        UnavailableError: there is no pip, or it cannot install it; what it says of that is on standard error.
    """
    first, *beside = _requirements(runtime)
    pip = _pip_of(python, quiet)
    if runtime.startswith("onnxruntime:") and not PROVIDERS[runtime.partition(":")[2]].beside:
        _replace(first, python, pip)
    else:
        pip("install", first)
    if beside:
        pip("install", *beside)
    name = _name(first)
    return f"{name} {_installed(python)[name].version}"


def _requirements(runtime: str) -> list[str]:
    kind, _, name = runtime.partition(":")
    if kind == "onnxruntime" and name in PROVIDERS:
        return PROVIDERS[name].package.split()
    if runtime in PACKAGES:
        return [PACKAGES[runtime].name]
    known = [*(f"onnxruntime:{each}" for each in PROVIDERS), *PACKAGES]
    if runtime == "torchscript":
        raise InputError("torchscript is a part of PyTorch, which is installed.")
    near = did_you_mean_runtime(runtime, known)
    raise InputError(f"No package is known that holds '{runtime}'.{near} Choose from {', '.join(known)}.")


def _replace(requirement: str, python: str, pip: Pip) -> None:
    """Install one package of ONNX Runtime in place of what is there.

    Nothing is taken away before pip has found everything that it is to install.
    """
    name = _name(requirement)
    with tempfile.TemporaryDirectory() as folder:
        pip("download", "--no-deps", "--only-binary", ":all:", "--dest", folder, requirement)
        (wheel,) = Path(folder).glob("*.whl")
        version = wheel.name.split("-")[1]
        packages = [f"{requirement}=={version}", "--find-links", folder]
        if name != DEFAULT:
            packages.append(str(write_stand_in(Path(folder), name, version)))
        pip("install", "--dry-run", *packages)
        # In one go pip would install the new files first, and then take them away with the old ones.
        if there := _holders(python):
            pip("uninstall", "--yes", *there)
        pip("install", *packages)


def _holders(python: str) -> list[str]:
    """The installed packages that hold ONNX Runtime, whatever their names, and what stands in for `onnxruntime`."""
    found = _installed(python).items()
    return sorted(
        name for name, each in found if name == DEFAULT or DEFAULT in (each.read_text("top_level.txt") or "").split()
    )


def _installed(python: str) -> dict[str, metadata.Distribution]:
    """The packages of an environment by name, as they are now."""
    path = subprocess.run(
        [python, "-P", "-c", "import json, sys; print(json.dumps(sys.path))"], capture_output=True, check=True
    )
    return {_name(each.name): each for each in metadata.distributions(path=json.loads(path.stdout))}


def _name(requirement: str) -> str:
    """The name alone, as pip compares it."""
    name = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0] if name else requirement).lower()


def _pip_of(python: str, quiet: bool) -> Pip:
    """That environment's pip, as a function; what it prints goes to standard error.

    Raises:
        UnavailableError: there is none.
    """
    command = [python, "-P", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    if subprocess.run([*command, "--version"], capture_output=True, check=False).returncode:
        raise UnavailableError("This environment has no pip. Get it with: python -m ensurepip (or: uv pip install pip)")

    def pip(*arguments: str) -> None:
        if subprocess.run([*command, *(["-qq"] if quiet else []), *arguments], stdout=2, check=False).returncode:
            raise UnavailableError(f"pip did not do this, for the reason above: pip {' '.join(arguments)}")

    return pip
