"""One package of ONNX Runtime takes the place of another, by pip itself, and the environment stays sound."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import Result
from rnn_export import InputError, UnavailableError
from rnn_export.runtimes.install import install

VARIANTS = {"onnxruntime": "1.32.0", "onnxruntime-webgpu": "1.27.0", "onnxruntime-openvino": "1.24.1"}
# As rnn-export itself, and as a package of others that would bring the default back.
DEPENDENT = "Requires-Dist: onnxruntime>=1.22\n"


def _wheel(folder: Path, name: str, version: str, more: str = "", module: str = "") -> None:
    """A package; `module` is what its `__init__.py` is in, with its name and a library of its own."""
    spelled = name.replace("-", "_")
    info = f"{spelled}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/top_level.txt": f"{module}\n",
    }
    if module:
        files |= {f"{module}/__init__.py": f"from . import library\nname = {name!r}\n", f"{module}/library.py": ""}
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with ZipFile(folder / f"{spelled}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(file, text)


class Environment:
    """A Python with pip, and an index that has the variants and two packages that want the default."""

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        for name, version in VARIANTS.items():
            _wheel(self.wheels, name, version, module="onnxruntime")
        for name in ("ours", "theirs"):
            _wheel(self.wheels, name, "1.0", DEPENDENT)
        venv.create(folder / "env", with_pip=True)
        self.python = str(folder / "env" / "bin" / "python")

    def pip(self, *arguments: str) -> str:
        command = [self.python, "-m", "pip", "--disable-pip-version-check", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @property
    def module(self) -> str:
        """The package whose module is imported, which imports a file of its own."""
        code = "import onnxruntime; print(onnxruntime.name)"
        return subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture(autouse=True)
def index(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(environment.wheels))


def test_a_variant_comes_and_goes(environment: Environment) -> None:
    environment.pip("install", "ours")
    assert environment.module == "onnxruntime"
    for runtime, name in {"webgpu": "onnxruntime-webgpu", "openvino": "onnxruntime-openvino"}.items():
        assert install(f"onnxruntime:{runtime}", environment.python) == f"{name} {VARIANTS[name]}"
        assert environment.module == name
        assert environment.pip("check").strip() == "No broken requirements found."
        environment.pip("install", "theirs")  # which wants onnxruntime, and has it
        assert environment.module == name
    assert install("onnxruntime:cpu", environment.python, quiet=True) == "onnxruntime 1.32.0"
    assert environment.module == "onnxruntime"
    environment.pip("check")
    assert "openvino" not in environment.pip("list")


def test_variants_over_one_another_are_mended(environment: Environment) -> None:
    environment.pip("install", "onnxruntime", "onnxruntime-webgpu")
    install("onnxruntime:openvino", environment.python)
    assert environment.module == "onnxruntime-openvino"
    listed = environment.pip("list", "--format=freeze").split()
    assert [each for each in listed if each.startswith("onnx")] == [
        "onnxruntime==1.24.1+openvino",
        "onnxruntime-openvino==1.24.1",
    ]
    environment.pip("check")


def test_what_cannot_be_found_takes_nothing_away(environment: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    install("onnxruntime:cpu", environment.python)
    with pytest.raises(UnavailableError, match="for the reason above: pip download .* onnxruntime-directml"):
        install("onnxruntime:dml", environment.python)
    assert "No matching distribution found for onnxruntime-directml" in capfd.readouterr().err
    assert environment.module == "onnxruntime"


def test_a_constraint_against_it_takes_nothing_away(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("onnxruntime:cpu", environment.python)
    (tmp_path / "constraints.txt").write_text("onnxruntime==1.32.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    with pytest.raises(UnavailableError, match="pip install --dry-run"):
        install("onnxruntime:webgpu", environment.python)
    assert environment.module == "onnxruntime"


def test_without_pip_it_says_how_to_get_it(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(UnavailableError, match="has no pip. Get it with: python -m ensurepip"):
        install("onnxruntime:webgpu", str(tmp_path / "bare" / "bin" / "python"))


@pytest.mark.parametrize(
    ("runtime", "meant"),
    [
        ("onnxruntime:webgpus", " Did you mean 'onnxruntime:webgpu'?"),
        ("webgpu", " Did you mean 'onnxruntime:webgpu'?"),
        ("gpu", " Did you mean 'onnxruntime:cuda'?"),
        ("onnxruntime:gpu", " Did you mean 'onnxruntime:cuda'?"),
    ],
)
def test_what_no_package_holds(runtime: str, meant: str) -> None:
    said = re.escape(f"No package is known that holds '{runtime}'.{meant} Choose from")
    with pytest.raises(InputError, match=said):
        install(runtime, sys.executable)


def test_torchscript_needs_no_package() -> None:
    with pytest.raises(InputError, match="torchscript is a part of PyTorch"):
        install("torchscript", sys.executable)


def test_the_command_says_how_to_try_it(cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_export.runtimes.install.install", lambda runtime, quiet: "onnxruntime-webgpu 1.27.0")
    said = cli("install", "onnxruntime:webgpu").stdout
    assert said == "onnxruntime-webgpu 1.27.0 is installed. Try it with: rnn-export doctor onnxruntime:webgpu\n"
