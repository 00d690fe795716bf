"""Writes the pages of documentation that follow from single sources: `python -m tickgate.sw.report.generate_docs`.

Whole pages under `docs/reference` come from `tickgate.sw.spec`, two from the JSON schemas beside them. In
`docs/stages/<stage>.md` the text between the two comments `BEGIN` and `END` comes from the stage's component: ports,
latencies, counters and faults; in `docs/results.md` the latencies of all. The gateware is loaded by name, because this
module may not import it.

With `--check` nothing is written; the exit status is 1 when a file is not what it would be, and its name is printed.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import sys
import warnings
from pathlib import Path

from tickgate.sw.files.atomic import atomic_output
from tickgate.sw.report import reference_pages, schema_page, stage_pages

BEGIN = "<!-- generated from the component: do not edit -->"
END = "<!-- end of what is generated -->"
GATEWARE = "tickgate.gateware.build"


def docs_folder() -> Path:
    """`docs` of the checkout that this module lies in.

    Raises
    ------
    FileNotFoundError: an installation without documentation.
    """
    for parent in Path(__file__).resolve().parents:
        if (parent / "docs" / "conf.py").exists():
            return parent / "docs"
    raise FileNotFoundError("there is no docs folder beside this installation")


def pages(docs: Path) -> dict[Path, str]:
    """Every generated file with the text that it must have."""
    reference = docs / "reference"
    out = {reference / name: text for name, text in reference_pages.pages().items()}
    for command in ("bench", "compare"):
        file = f"{command}.schema.json"
        schema = json.loads((reference / file).read_text(encoding="utf-8"))
        out[reference / f"{command}-json.md"] = schema_page.page(schema, file)
    stages = importlib.import_module(GATEWARE).STAGES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # components that are looked at and never become part of a design
        for path in sorted((docs / "stages").glob("*.md")):
            out[path] = _filled(path, stage_pages.interface(path.stem, stages[path.stem]))
        results = docs / "results.md"
        out[results] = _filled(results, stage_pages.latencies(stages))
        gc.collect()
    return out


def _filled(path: Path, made: str) -> str:
    """The text of a page with `made` between its two comments."""
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise ValueError(f"{path} must have {BEGIN!r} and then {END!r}, once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{made}\n{END}{rest.split(END)[1]}"


def main(argv: list[str] | None = None) -> int:
    """Writes or checks; 0 when all is as it must be."""
    parser = argparse.ArgumentParser(description="write the generated pages of the documentation")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 when a page is out of date")
    args = parser.parse_args(argv)
    stale = []
    for path, text in pages(docs_folder()).items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not args.check:
            with atomic_output(path) as out:
                out.write(text.encode("utf-8"))
    for path in stale:
        print(f"{path}: {'out of date' if args.check else 'written'}", file=sys.stderr)
    if stale and args.check:
        print("write them with: python -m tickgate.sw.report.generate_docs", file=sys.stderr)
    return int(args.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
