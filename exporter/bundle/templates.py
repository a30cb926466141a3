"""Render the templates of this package: the README of a bundle, and the programs in it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: Any) -> str:
    """The text of a template with these values in it.

    Args:
        template: its path in this package, such as `programs/onnxruntime.cpp.jinja`.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    import jinja2  # a bundle is read without it

    from .programs import call

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rnn_export.bundle", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "cpp": call.cpp,
        "cpp_filled": call.cpp_filled,
        "js": call.javascript,
        "py": call.python,
    }
    return environment
