"""Reading the `Members` section of a component's docstring, for documentation and for the test that holds it true."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

_SECTION = re.compile(r"^(\w[\w ]*)\n-+$", re.MULTILINE)
_NAMES = re.compile(r"^([a-z_][\w<>]*(?:, [a-z_][\w<>]*)*): ")
#: A second member on the same line: `mask: In(8), bit a stage. every: In(16)`.
_NEXT = re.compile(r"(?<=\.) (?=[a-z_]\w*: (?:In|Out)\()")


@dataclass(frozen=True)
class Member:
    """What a docstring says of a member.

    Members
    -------
    name: as in the signature; `<...>` stands for one of several.
    text: shape and meaning, as `In(64), core cycle.`
    """

    name: str
    text: str

    def matches(self, name: str) -> bool:
        """Whether the member called `name` is meant."""
        pattern = re.sub(r"<\w+>", r"\\w+", self.name)
        return re.fullmatch(pattern, name) is not None


def section(docstring: str, name: str) -> str:
    """The text of a section of a docstring, "" where it has none."""
    text = inspect.cleandoc(docstring)
    found = [*_SECTION.finditer(text)]
    for heading, following in zip(found, [*found[1:], None], strict=True):
        if heading[1] == name:
            return text[heading.end() : following.start() if following else len(text)].strip()
    return ""


def summary(docstring: str) -> str:
    """What stands in front of the first section."""
    text = inspect.cleandoc(docstring)
    first = _SECTION.search(text)
    return text[: first.start() if first else len(text)].strip()


def entries(docstring: str, name: str = "Members") -> list[Member]:
    """The entries `name: text` of a section; a line that is indented continues the one before."""
    lines: list[str] = []
    for line in section(docstring, name).splitlines():
        if line.startswith(" ") and lines:
            lines[-1] += " " + line.strip()
        else:
            lines += _NEXT.split(line.strip())
    out = []
    for line in lines:
        names = _NAMES.match(line)
        if names:
            out += [Member(one, line[names.end() :]) for one in names[1].split(", ")]
        elif out:  # text that goes on without indentation
            out[-1] = Member(out[-1].name, f"{out[-1].text} {line}")
    return out
