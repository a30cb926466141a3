"""Stand-ins for what a package imports and its recurrent models never use: audio libraries, plotting, loggers.

Within `stubbed()` a module of `STUBS` that is not installed can be imported all the same: its every attribute is
`Nothing`. Afterwards they are gone, so that no exporter takes them for the real ones. `bare` imports a package without
running its `__init__`, which would import all of it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

STUBS = (
    *("soundfile", "librosa", "resampy", "pesq", "pb_bss_eval", "lameenc", "dora", "libdf", "webrtcvad", "torchvision"),
    *("cv2", "matplotlib", "coremltools", "validators", "anyascii", "mne", "skorch"),
    *(
        "httpx2",
        "httpcore2",
        "boto3",
        "wandb",
        "tensorboard",
        "colorlog",
        "ditk",
        "deepdiff",
        "treetensor",
        "gym",
        "ray",
    ),
    *("sklearn", "gensim", "spacy", "fairseq", "dill", "optuna", "utilsforecast", "coreforecast", "pandarallel"),
    *(
        "torch_optimizer",
        "torch_complex",
        "torch_sparse",
        "torch_scatter",
        "torch_cluster",
        "psutil",
        "coqpit",
        "antlr4",
    ),
    *(
        "cached_path",
        "base58",
        "importlib_metadata",
        "prettytable",
        "editdistance",
        "fasthtml",
        "docstring_inheritance",
    ),
    *(
        "trainer",
        "shapely",
        "pypdfium2",
        "rapidfuzz",
        "h5py",
        "sentencepiece",
        "lmdb",
        "fastdownload",
        "sacremoses",
        "unicategories",
    ),
)
# Stubbed also where it is installed: the compiled part of torchaudio on PyPI is for CUDA, and its models do not need
# it; torch.utils.tensorboard raises without TensorBoard.
HIDDEN = ("torchaudio._extension", "torch.utils.tensorboard", "pytorch_widedeep.wdtypes")


class _Anything(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """As a decorator it leaves what it decorates as it is."""
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else Nothing

    def __getitem__(cls, key: Any) -> Any:
        return Nothing

    def __or__(cls, other: Any) -> Any:
        return Nothing

    def __ror__(cls, other: Any) -> Any:
        return Nothing

    def __bool__(cls) -> bool:
        return False


class Nothing(metaclass=_Anything):
    """A class, a function, a decorator and a constant that is there to be imported."""


class _StubModule(ModuleType):
    __version__ = "0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing


class _Finder(MetaPathFinder, Loader):
    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        found = any(fullname == name or fullname.startswith(f"{name}.") for name in self._names)
        return ModuleSpec(fullname, self, is_package=True) if found else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StubModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


@contextmanager
def stubbed() -> Iterator[None]:
    """Within the block `STUBS` and `HIDDEN` can be imported."""
    hidden, absent = _Finder(HIDDEN), _Finder(STUBS)
    sys.meta_path[:] = [hidden, *sys.meta_path, absent]
    try:
        yield
    finally:
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in (hidden, absent)]
        for name in [name for name, module in sys.modules.items() if isinstance(module, _StubModule)]:
            del sys.modules[name]


def bare(*names: str) -> None:
    """Import these packages, outermost first, without running their `__init__`."""
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is not None and name not in sys.modules:
            module = importlib.util.module_from_spec(spec)
            module.__version__ = "0"
            sys.modules[name] = module
