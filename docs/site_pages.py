"""Pages of the documentation site: the repository's own, at the same paths, so that links between them work in both."""

from __future__ import annotations

import re
from os.path import normpath, relpath
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = (
    "*.md",
    "docs/**/*.md",
    "docs/**/*.svg",
    "docs/*.css",
    "docs/**/*.json",
    "artifacts/README.md",
    "benchmarks/README.md",
    "clients/README.md",
    "clients/*/README.md",
    "examples/*/README.md",
)
REPOSITORY = "https://github.com/rnn-export/rnn-export/blob/main"

_LINK = re.compile(r"(?<=\]\()(?!https:)([^)#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the repository's pages in place of those in `docs_dir`; files of the theme stay."""
    root = _root(config)
    paths = sorted({path for pattern in PAGES for path in root.glob(pattern)})
    theme = [file for file in files if file.src_dir != config.docs_dir]
    own = [File(str(path.relative_to(root)), str(root), config.site_dir, config.use_directory_urls) for path in paths]
    return Files([*theme, *own])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to a folder at its README.md, and links to files that are no pages at the repository.

    Where a page names the repository's address itself, as the README does for package indexes, pages stay in the site.
    """
    root, folder = _root(config), Path(page.file.src_uri).parent

    def target(match: re.Match[str]) -> str:
        path = normpath(folder / match[1])
        if not (root / path).exists() or path in files.src_uris:
            return match[1]
        return f"{match[1]}/README.md" if f"{path}/README.md" in files.src_uris else f"{REPOSITORY}/{path}"

    return _LINK.sub(target, markdown.replace(f"]({REPOSITORY}/", f"]({relpath('.', folder)}/"))


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent
