"""Plug-ins that are installed: found by their packages' names, whatever state those are in."""

from __future__ import annotations

from pathlib import Path

import pytest
from rnn_export import UnavailableError
from rnn_export.runtimes.providers import find_provider, plugin_device, plugin_modules
from rnn_export.runtimes.session import ProviderOptions

LISTED = "def get_ep_names(): return ['WebGpuExecutionProvider']\ndef get_library_path(): return '/nowhere.so'\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One package as they should be, one that fails on import, and one that holds nothing."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, source in {"listed": LISTED, "broken": "raise OSError", "hollow": ""}.items():
        (tmp_path / f"onnxruntime_ep_{name}.py").write_text(source)
        folder = tmp_path / f"onnxruntime_ep_{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: onnxruntime-ep-{name}\nVersion: 1.0\n")


@pytest.mark.usefixtures("install")
def test_what_is_found() -> None:
    assert [module.__name__ for module in plugin_modules()] == ["onnxruntime_ep_listed"]


@pytest.mark.usefixtures("install")
def test_a_plugin_whose_library_is_gone() -> None:
    provider = find_provider("webgpu", ProviderOptions())
    with pytest.raises(UnavailableError, match="There is no file /nowhere.so"):
        plugin_device(provider)


@pytest.mark.usefixtures("install")
def test_a_plugin_that_offers_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_export.runtimes.providers.load_library", lambda library, name: None)
    message = "The plug-in onnxruntime_ep_listed offers no device. WebGpuExecutionProvider needs a GPU"
    with pytest.raises(UnavailableError, match=message):
        plugin_device(find_provider("webgpu", ProviderOptions()))
