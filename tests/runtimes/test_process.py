"""Programs in processes of their own: what they hand back, and what becomes of those that fail, die or hang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from rnn_export.runtimes import process
from rnn_export.runtimes.placement import Placement
from rnn_export.runtimes.process import ProcessSession, ProgramError, Serving

X = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "lengths": np.array([1, 2])}

# A model is Python here, which is given the inputs as `x` and `lengths` and leaves a dictionary `y`.
SCRIPT = """
import os, signal, sys, time
import numpy as np
import safetensors.numpy

def run(model, cases, out):
    given = {key.split("/")[2]: array for key, array in safetensors.numpy.load_file(cases).items()}
    names = {**globals(), **given, "cases": cases}
    exec(model, names)
    safetensors.numpy.save_file({f"case/outputs/{name}": array for name, array in names["y"].items()}, out)

model = open(sys.argv[1]).read()
if "unloadable" in model:
    sys.exit("no such operator")
print("ready", flush=True)
for line in sys.stdin:
    try:
        run(model, *line.rstrip().split("\\t"))
        print(flush=True)
    except ValueError as error:
        print(f"case: {error}", flush=True)
"""


def started(model: str, folder: Path) -> Serving:
    (folder / "program.py").write_text(SCRIPT)
    (folder / "model").write_text(model)
    return Serving([sys.executable, str(folder / "program.py")], folder / "model")


def session(model: str, folder: Path) -> ProcessSession:
    return ProcessSession(started(model, folder), ["y"], Placement("cpu", "1.0"))


def test_inputs_go_in_and_outputs_come_back(tmp_path: Path) -> None:
    own = session("y = {'y': x.T.copy() * lengths, 'other': x}", tmp_path)
    for sign in (1, -1):
        got = own.run({**X, "x": sign * X["x"].T.copy().T})
        assert list(got) == ["y"]
        assert np.array_equal(got["y"], sign * X["x"].T * X["lengths"])
    assert (own.placement().provider, own.hides_nan, own.spreads_nan) == ("cpu", "", False)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("os.abort()", "its process ended with SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "its process ended with SIGSEGV"),
        (
            'print("thread panicked at a.rs:1:2:\\nUndeterminedSymbol\\nnote: more", file=sys.stderr, flush=True)\n'
            "os.abort()",
            "its process ended with SIGABRT: UndeterminedSymbol",
        ),
        ("raise KeyError('x')", "its process ended with exit code 1: KeyError: 'x'"),
        ("print('chatter\\nit is wrong', file=sys.stderr); sys.exit(2)", "it is wrong"),
        ("y = {'z': x}", "the program handed back no y"),
    ],
)
def test_what_goes_wrong_is_the_cases_error(model: str, error: str, tmp_path: Path) -> None:
    own = session(
        f"if x[0, 0] > 0:\n    y = {{'y': x}}\nelse:\n    {model.replace(chr(10), chr(10) + '    ')}", tmp_path
    )
    with pytest.raises(ProgramError) as caught:
        own.run(X)
    assert str(caught.value) == error
    assert own.run({"x": X["x"] + 1})["y"][0, 0] == 1


def test_a_program_that_serves_says_what_is_wrong_and_serves_on(tmp_path: Path) -> None:
    own = session("if 'lengths' in globals():\n    raise ValueError('not lengths')\ny = {'y': x}", tmp_path)
    with pytest.raises(ProgramError, match="^not lengths$"):
        own.run(X)
    own.run({"x": X["x"]})


def test_a_program_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = session("time.sleep(60)", tmp_path)
    monkeypatch.setattr(process, "SECONDS", 0.2)
    with pytest.raises(ProgramError, match=r"^the program did not answer within 0.2 seconds$"):
        own.run(X)


def test_programs_that_do_not_start_or_load(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="its process ended with exit code 1: no such operator"):
        started("unloadable", tmp_path)
    with pytest.raises(ProgramError, match="the program does not say that it is ready"):
        Serving(["echo"], tmp_path)
    with pytest.raises(ProgramError, match="no_such_program does not start .No such file"):
        Serving([str(tmp_path / "no_such_program")], tmp_path)


def test_outputs_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "program").write_text(
        "#!/bin/sh\necho ready\nwhile read -r cases out; do echo nonsense > $out; echo; done\n"
    )
    (tmp_path / "program").chmod(0o755)
    with pytest.raises(ProgramError, match="the program wrote no outputs that can be read"):
        ProcessSession(Serving([str(tmp_path / "program")], tmp_path), [], Placement("cpu", "1")).run(X)


def test_a_process_ends_with_its_session(tmp_path: Path) -> None:
    own = session("y = {'y': np.array([os.getpid()])}", tmp_path)
    pid = int(own.run(X)["y"][0])
    assert subprocess.run(["kill", "-0", str(pid)], check=False).returncode == 0
    del own
    assert subprocess.run(["kill", "-0", str(pid)], capture_output=True, check=False).returncode != 0


def test_the_files_that_are_exchanged(tmp_path: Path) -> None:
    seen = "import shutil; shutil.copy(cases, sys.argv[1] + '.seen'); y = {'y': x}"
    session(seen, tmp_path).run({"x": np.float32(2), "lengths": np.array([True])})
    found = safetensors.numpy.load_file(tmp_path / "model.seen")
    assert {key: (array.shape, array.dtype.name) for key, array in found.items()} == {
        "case/inputs/x": ((), "float32"),
        "case/inputs/lengths": ((1,), "bool"),
    }
