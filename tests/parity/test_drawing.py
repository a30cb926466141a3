"""Cases are never only the caller's: random ones beside an example, positive ones for logarithms, made ones checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from rnn_export import Exported, InputError, LoadError, Signature, export_onnx, load, read_bundle, verify
from rnn_export.parity.artifact import check_artifact, open_artifact
from rnn_export.parity.drawing import draw_for
from rnn_export.pytorch.evaluation import evaluating
from torch import Tensor, nn

WIDTH = 4
SIGNATURE = Signature({"x": f"float32[N, T, {WIDTH}]"})


class Plain(nn.Module):
    """A GRU over what `before` makes of the input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.GRU(WIDTH, 3, batch_first=True)

    def before(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.before(x))[0]


class Logarithm(Plain):
    def before(self, x: Tensor) -> Tensor:
        return torch.log(x)


class Beyond(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x - 5)


class AlwaysNaN(Plain):
    def before(self, x: Tensor) -> Tensor:
        return torch.log(-x.abs() - 1)


class Positive(Plain):
    def before(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_exporting() and bool((x < 0).any()):
            raise ValueError("negative")
        return x


def exported(model: nn.Module, folder: Path, **given: Any) -> Exported:
    return export_onnx(model, given.pop("signature", SIGNATURE), folder / "out", **given)


def kinds(found: Exported) -> set[str]:
    assert found.report is not None
    return {result.case.values for result in found.report.cases}


def note(found: Exported, about: str) -> str:
    return next((note for note in found.notes if about in note), "")


def example(value: float | None = None) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    array = random.uniform(0.1, 2, (3, 6, WIDTH)) if value is None else np.full((3, 6, WIDTH), value)
    return {"x": array.astype(np.float32)}


@pytest.fixture(scope="module")
def zeros(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(Plain(), tmp_path_factory.mktemp("zeros"), example=example(0))


def test_random_cases_stand_beside_an_example(zeros: Exported) -> None:
    assert zeros.report is not None
    random = [result.case.sizes for result in zeros.report.cases if result.case.values == "random"]
    assert len(random) >= 4
    assert any(sizes["T"] > 3 and sizes["N"] > 3 for sizes in random)
    assert "holds the same value everywhere" in note(zeros, "The example's 'x'")
    manifest = read_bundle(zeros.folder)
    assert manifest.from_example
    assert manifest.cases[0].values == "ordinary"
    assert "random" in {case.values for case in manifest.cases}


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_fault_that_the_example_cannot_show_is_found(value: float, tmp_path: Path) -> None:
    """The weights of the input, which zeros never see, are another model's."""
    model = Plain()
    out = exported(model, tmp_path, example=example(value)).folder
    graph = onnx.load(out / "model.onnx")
    weight = next(each for each in graph.graph.initializer if list(each.dims)[-1:] == [WIDTH])
    array = onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(array[..., ::-1].copy(), weight.name))
    onnx.save(graph, tmp_path / "wrong.onnx")
    manifest = read_bundle(out)
    opened = open_artifact(tmp_path / "wrong.onnx", manifest.artifacts["model.onnx"], manifest.signature)
    with evaluating(model):
        traced = {"N": 3, "T": 6}
        drawing = draw_for(model, manifest.signature, traced, 0, example(value))
        drawn = drawing.expect(model, drawing.cases([], traced, 0, {}))
        report = check_artifact(opened, drawn.expected, traced=traced, seed=0, weights=None)
    assert {result.case.values for result in report.cases if result.verdict == "FAIL"} >= {"random"}


def test_random_cases_are_positive_where_others_give_nan(tmp_path: Path) -> None:
    found = exported(Logarithm(), tmp_path, example=example())
    assert kinds(found) == {"ordinary", "random", "saturating", "denormal"}
    assert "'x' is, beside the example, drawn between 0 and 1" in note(found, "PyTorch computes NaN")


def test_random_cases_that_give_nan_are_left_out_and_said(tmp_path: Path) -> None:
    model = nn.Sequential(Beyond(), nn.Linear(WIDTH, 2))
    found = exported(model, tmp_path, example={"x": example()["x"] + 5}, signature=SIGNATURE)
    assert "random" not in kinds(found)
    assert "PyTorch computes NaN from them" in note(found, "The cases of random values beside the example are left out")


def test_random_cases_that_pytorch_refuses_are_left_out_and_said(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(12, 3))
    tokens = {"tokens": np.array([[2, 5, 1, 3, 3]])}
    fits = exported(model, tmp_path / "fits", signature=Signature({"tokens": "int64[N, T]"}), example=tokens)
    assert "random" in kinds(fits)
    assert not note(fits, "left out")
    wide = Signature({"tokens": "int64[N, T] in 0..99"})
    refused = exported(model, tmp_path / "refused", signature=wide, example=tokens)
    rows = "Embedding '0' has 12 rows: describe 'tokens' as 'in 0..11'"
    assert f"PyTorch refuses them (IndexError: index out of range in self; {rows})" in note(refused, "left out")
    assert refused.report is not None
    assert not refused.report.count("REFUSED")


def test_an_example_that_varies_and_a_state_of_zeros_are_not_remarked_upon(tmp_path: Path) -> None:
    model = nn.GRU(WIDTH, 3)
    signature = Signature({"x": f"float32[T, N, {WIDTH}]", "h0": "float32[1, N, 3]"}, ["y", "h_n"], {"h0": "h_n"})
    found = exported(
        model,
        tmp_path,
        signature=signature,
        example={"x": example()["x"], "h0": np.zeros((1, 6, 3), np.float32)},
        verify=False,
    )
    assert not note(found, "everywhere")


@pytest.fixture(scope="module")
def logarithm(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    place = tmp_path_factory.mktemp("logarithm")
    (place / "net.py").write_text(Path(__file__).read_text())
    loaded = load(f"{place}/net.py:Logarithm", inputs=SIGNATURE.inputs)
    return exported(loaded.model, place, source=loaded.source)


def test_positive_values_are_drawn_where_ordinary_ones_give_nan(logarithm: Exported) -> None:
    said = note(logarithm, "PyTorch computes NaN from ordinary values")
    assert "'x' is drawn between 0 and 1" in said
    assert "'x: float32[N, T, 4] > 0'" in said
    assert logarithm.report is not None
    assert {result.verdict for result in logarithm.report.cases} == {"PASS"}
    assert "floats" not in (logarithm.folder / "manifest.json").read_text()


def test_verify_draws_them_again(logarithm: Exported) -> None:
    source = read_bundle(logarithm.folder).source
    assert source is not None
    verification = verify(logarithm.folder, model=source.model, seed=3)
    assert verification.how == "rebuilt"
    assert verification.passed
    assert "'x' is drawn between 0 and 1" in verification.notes[0]
    assert verification.to_json()["notes"] == list(verification.notes)


@pytest.mark.parametrize("model", [Plain, AlwaysNaN, Positive])
def test_other_models_are_tried_on_ordinary_values(model: type[nn.Module]) -> None:
    built = model()
    with evaluating(built):
        drawing = draw_for(built, Signature(SIGNATURE.inputs, ["y"]), {"N": 7, "T": 5}, 0)
    assert not drawing.notes
    assert drawing.signature.inputs == SIGNATURE.inputs


def test_a_declared_range_is_kept_to(tmp_path: Path) -> None:
    signature = Signature({"x": f"float32[N, T, {WIDTH}] > 0"})
    found = exported(Logarithm(), tmp_path, signature=signature)
    assert kinds(found) == {"ordinary", "saturating", "denormal"}
    assert not found.notes
    assert read_bundle(found.folder).signature.inputs == signature.inputs


def cumulative(sizes: dict[str, int], seed: int) -> dict[str, Any]:
    """Two inputs that depend on one another: positions never beyond the end of the sequence before them."""
    random = np.random.default_rng(seed)
    return {
        "x": torch.from_numpy(random.uniform(1, 2, (sizes["N"], sizes["T"], WIDTH)).astype(np.float32)),
        "last": random.integers(0, sizes["T"], sizes["N"]),
    }


class Picks(Logarithm):
    """Takes one step of each sequence, which PyTorch refuses beyond the end."""

    def forward(self, x: Tensor, last: Tensor) -> Tensor:  # type: ignore[override]
        out = super().forward(x)
        return out.gather(1, last[:, None, None].expand(-1, 1, out.shape[2]))


PICKS = Signature({"x": f"float32[N, T, {WIDTH}]", "last": "int64[N] in 0..300"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, str]:
    place = tmp_path_factory.mktemp("made")
    (place / "net.py").write_text(Path(__file__).read_text())
    loaded = load(f"{place}/net.py:Picks", inputs=PICKS.inputs)
    return (
        exported(loaded.model, place, signature=PICKS, source=loaded.source, cases=f"{place}/net.py:cumulative"),
        f"{place}/net.py",
    )


def test_a_function_makes_every_case(made: tuple[Exported, str]) -> None:
    found, file = made
    assert found.report is not None
    assert kinds(found) == {"ordinary"}
    assert {result.verdict for result in found.report.cases} == {"PASS"}
    assert len(found.report.cases) > 10
    source = read_bundle(found.folder).source
    assert source is not None
    assert source.cases == f"{file}:cumulative"
    readme = (found.folder / "README.md").read_text()
    assert f"rnn-export verify BUNDLE --model {file}:Picks --make-cases {file}:cumulative\n" in readme


def test_verify_runs_the_function_only_when_it_is_given(made: tuple[Exported, str]) -> None:
    found, file = made
    replayed = verify(found.folder, model=f"{file}:Picks")
    assert replayed.how == "replayed"
    assert f'`cases="{file}:cumulative"` allows it' in replayed.why
    rebuilt = verify(found.folder, model=f"{file}:Picks", cases=cumulative, seed=2)
    assert rebuilt.how == "rebuilt"
    assert rebuilt.passed
    assert {result.case.values for result in rebuilt.reports[0].cases} == {"ordinary"}


def test_a_function_makes_the_float16_cases_of_a_float32_model(tmp_path: Path) -> None:
    found = exported(Picks(), tmp_path, signature=PICKS, cases=cumulative, precision="float16")
    assert read_bundle(found.folder).signature.inputs["x"].dtype == "float16"
    assert kinds(found) == {"ordinary"}


def raising(sizes: dict[str, int], seed: int) -> dict[str, Any]:
    raise KeyError("S")


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        (lambda sizes, seed: [], "returned a list. Return a dictionary with an array for x, last."),
        (lambda sizes, seed: {"x": cumulative(sizes, seed)["x"]}, "made no 'last'. Return an array for each input"),
        (
            lambda sizes, seed: {**cumulative(sizes, seed), "lst": 0},
            "made 'lst', which is no input. Did you mean 'last'?",
        ),
        (
            lambda sizes, seed: {**cumulative(sizes, seed), "last": np.zeros(sizes["N"], np.int32)},
            "The case's 'last' is int32[7], not int64[N] in 0..300. Give an array that fits.",
        ),
        (
            lambda sizes, seed: {**cumulative(sizes, seed), "last": np.full(sizes["N"], 301)},
            "The case's 'last' holds 301, which is not in 0..300.",
        ),
        (
            lambda sizes, seed: cumulative({**sizes, "T": 9}, seed),
            "made inputs with T=9. Make them of the sizes that are given.",
        ),
        (raising, r"raising for N=7, T=5 and seed 0 raised KeyError"),
    ],
)
def test_what_a_function_makes_has_to_fit(cases: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        exported(Picks(), tmp_path, signature=PICKS, cases=cases)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cases", "kind", "said"),
    [
        (3, InputError, "`cases` is an int. Give a function"),
        ("nowhere.py:make", LoadError, "There is no file"),
        ("make", LoadError, "'make' names no function. Write file.py:make or package.module:make."),
        (f"{__file__}:cumulativ", LoadError, "has no 'cumulativ'. Did you mean 'cumulative'?"),
        (f"{__file__}:Picks", LoadError, "is no function. Name one that takes sizes and a seed"),
        (f"{__file__}:WIDTH", LoadError, "is no function"),
    ],
)
def test_a_function_that_is_none(cases: Any, kind: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        exported(Picks(), tmp_path, signature=PICKS, cases=cases)


def test_an_example_and_a_function_contradict_each_other(tmp_path: Path) -> None:
    both = cumulative({"N": 2, "T": 3}, 0)
    with pytest.raises(InputError, match="`example` and `cases` both say what goes in"):
        exported(Picks(), tmp_path, signature=PICKS, cases=cumulative, example=both)
