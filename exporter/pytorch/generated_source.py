"""Python source that is generated, and what it was generated from: the line that a user knows for each of its lines."""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

Place = tuple[str, int]

# For each generated file, what the user knows its lines as.
_ORIGINS: dict[str, dict[int, Place]] = {}


def import_generated(
    text: str, name: str, origins: Mapping[int, Place], namespace: Callable[[str], dict[str, Any]]
) -> ModuleType:
    """A module made of this source, whose functions `inspect.getsource` finds; the same text gives the same module.

    Args:
        text: the source.
        name: what the file is called.
        origins: for each line, from 1, where it stands in the user's own source; not needed for every one.
        namespace: the globals for a module of a name.
    """
    called = f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    file, module_name = f"torchscript/{called}.py", f"_rnn_export_script_{called}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    _ORIGINS[file] = dict(origins)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    module = ModuleType(module_name)
    vars(module).update(namespace(module_name), __file__=file)
    sys.modules[module_name] = module
    exec(compile(text, file, "exec"), vars(module))
    return module


def is_generated(file: str) -> bool:
    """Whether this is the name of a generated file."""
    return file in _ORIGINS


def origin(file: str, line: int) -> Place:
    """The line that a user knows for a line of a generated file; any other as it is."""
    return _ORIGINS.get(file, {}).get(line, (file, line))


def generated_from(place: Place) -> list[Place]:
    """The lines of generated files that stand for a line which a user knows, by its whole path or as it is shown."""
    return [
        (file, line)
        for file, origins in _ORIGINS.items()
        for line, (known, number) in origins.items()
        if number == place[1] and (known == place[0] or known.endswith(f"/{place[0]}"))
    ]
