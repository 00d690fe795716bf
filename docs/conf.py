"""Sphinx configuration: Markdown through MyST, furo theme, warnings are errors (make docs)."""

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]

project = _PROJECT["name"]
version = release = _PROJECT["version"]
author = copyright = "the tickgate authors"

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["build"]
nitpicky = True

html_theme = "furo"
html_title = f"tickgate {release}"
