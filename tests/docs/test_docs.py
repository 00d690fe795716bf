"""What the documentation names exists: commands, options, targets, files, links; its examples run; it is up to date."""

import argparse
import gc
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from tickgate.sw.cli.main import BUILTIN, load_command
from tickgate.sw.report import generate_docs
from tickgate.sw.spec import config_toml
from tickgate.sw.spec.sizes import LADDER

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
#: Pages whose examples have a test of their own.
TESTED_ELSEWHERE = ("write-a-trigger.md",)
#: What an example takes as given.
GIVEN = {"frames": [b"frame"], "handle": len}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def prose(page):
    """A page without its Python and TOML blocks."""
    return re.sub(r"^```(?:python|toml|text|json).*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page):
    """Command lines of a page: indented or fenced lines, and inline code, that begin with the word of a command."""
    text = prose(page)
    lines = re.findall(r"^(?: {4,}|\$ )?((?:[A-Z_]+=\S+ )*(?:make|tickgate|python) .*)$", text, re.MULTILINE)
    lines += [
        code for code in re.findall(r"`([^`\n]+)`", text) if code.startswith(("make ", "tickgate ", "python -m "))
    ]
    return [shlex.split(line.split("`")[0], comments=True) for line in lines if "..." not in line]


def options_of(command):
    parser = argparse.ArgumentParser()
    load_command(command).configure(parser)
    return every_option(parser)


def every_option(parser):
    """Options of a parser and of the actions below it."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*map(every_option, action.choices.values()))
    return found


def check_options(command, words):
    flags = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert flags <= options_of(command), f"tickgate {command} has no option {', '.join(flags - options_of(command))}"


def named_commands():
    found = []
    for page in PAGES:
        for words in commands(page):
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if len(words) > 1:
                found.append(pytest.param(words, id=f"{name_of(page)}: {' '.join(words)}"[:90]))
    return found


@pytest.mark.parametrize("words", named_commands())
def test_command_named_in_documentation_exists(words):
    program, first, *rest = words
    if program == "make":
        if not re.match(r"[a-z-]+$", first):
            return  # a sentence that begins with the word
        assert first in TARGETS, f"there is no target {first}"
        arguments = next((w.removeprefix("ARGS=") for w in rest if w.startswith("ARGS=")), "")
        if arguments:
            check_options(first, shlex.split(arguments))
    elif program == "tickgate":
        if not re.match(r"[a-z]+$", first):
            return
        assert first in BUILTIN, f"there is no command {first}"
        check_options(first, rest)
    elif first == "-m":
        assert find_spec(rest[0]) is not None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page):
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        assert (page.parent / target).exists(), f"{name_of(page)} links to {target}, which does not exist"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_in_code_exist(page):
    for path in re.findall(r"`((?:sw|sim|hw|gateware|drivers|tests|docs|requirements)/[\w./-]*)`", prose(page)):
        assert (ROOT / path).exists(), f"{name_of(page)} names {path}, which does not exist"


def examples():
    for page in PAGES:
        if page.name in TESTED_ELSEWHERE:
            continue
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
            yield pytest.param(page, code, id=f"{name_of(page)} {number}")


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(("page", "code"), list(examples()))
def test_example_of_a_page_runs(page, code):
    exec(compile(code, str(page), "exec"), {"__name__": page.stem, **GIVEN})
    gc.collect()


def test_configurations_in_pages_are_read():
    found = 0
    for page in PAGES:
        for text in re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            assert config_toml.loads(text, LADDER["medium"], name_of(page)).slots
            found += 1
    assert found


def test_every_command_and_stage_has_its_place_in_the_documentation():
    from tickgate.gateware.build import STAGES

    readme = (ROOT / "README.md").read_text()
    assert [name for name in BUILTIN if f"`{name}`" not in readme] == []
    assert sorted(p.stem for p in (ROOT / "docs" / "stages").glob("*.md")) == sorted(STAGES)


def test_generated_pages_are_up_to_date(capsys):
    assert generate_docs.main(["--check"]) == 0, capsys.readouterr().err


def test_generated_pages_check_finds_a_page_that_was_edited(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("edited")
    monkeypatch.setattr(generate_docs, "pages", lambda docs: {page: "made"})
    assert generate_docs.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err and page.read_text() == "edited"
    assert generate_docs.main([]) == 0 and page.read_text() == "made"
    assert generate_docs.main(["--check"]) == 0
