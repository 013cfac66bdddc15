"""What mkdocs calls while it builds the site (mkdocs.yml names this file)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs.site import entries, links, names, notebooks, reference

NOTEBOOK = Path("docs/first-results.ipynb")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A section of the navigation for each kind of entry."""
    assert config.nav is not None
    config.nav.append({"Reference": entries.navigation()})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages that are made: of entries, of the notebook, of what pages link to."""
    pages = {**entries.pages(), "first-results.md": notebooks.page(NOTEBOOK)}
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    written = {file.src_uri: file.content_string for file in files if file.src_uri.endswith(".md")}
    for path in links.linked(written):
        files.append(
            File.generated(config, links.uri(path), abs_src_path=str(Path(path).resolve()))
        )
    return files


def on_page_markdown(text: str, page: Any, **others: Any) -> str:
    """Links as they are in the site, names of entries that lead to their pages, plain numbers."""
    uri = page.file.src_uri
    if uri == "registry.md":
        text = names.indexed(text)
    return names.linked_in(links.within_site(reference.without_marks(text), uri), uri)
