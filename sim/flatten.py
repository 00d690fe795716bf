"""A design in the Verilog that Yosys writes, as one flat list of statements with the names that each sets and reads.

Only what Yosys' `write_verilog` makes of Amaranth's designs is understood: one clock, no functions, no generate blocks,
every statement on lines of its own. Anything else is refused, so that nothing is lost in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

NAME = r"\\\S+ |[A-Za-z_][A-Za-z0-9_$]*"
TOKEN = re.compile(rf"\d+'s?[bodh][0-9a-fA-FxzXZ?_]+|\d+|\$[a-z]+|({NAME})")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_DECLARATION = re.compile(rf"  (input|output|wire|reg) (\[\d+:0\] )?({NAME}) ?(\[\d+:0\])?( ?= ?\S+)?;$")
_INSTANCE = re.compile(rf"  ({NAME}) ?({NAME}) ?\($")
_CONNECTION = re.compile(rf"    \.({NAME}) ?\((.*)\),?$")
_MODULE = re.compile(rf"module ({NAME}) ?\(")
#: Between the names of submodules and of what is in them.
SEPARATOR = "__"
KEYWORDS = frozenset("if else begin end casez endcase default posedge always assign".split())


class NotUnderstood(ValueError):
    """Verilog of another form than Yosys writes."""


def names(text: str) -> Iterator[str]:
    """The names in `text`, without the backslash of escaped ones."""
    for match in TOKEN.finditer(text):
        found = match.group(1)
        if found and found not in KEYWORDS:
            yield found.lstrip("\\").rstrip()


def rename(text: str, known: dict[str, str]) -> str:
    """`text` with the names of `known` replaced."""

    def replaced(match: re.Match[str]) -> str:
        name = (match.group(1) or "").lstrip("\\").rstrip()
        return written(known[name]) if name in known else match.group(0)

    return TOKEN.sub(replaced, text)


def only_name(text: str) -> str | None:
    """The name that is all of `text`; None where there is more."""
    found = list(names(text))
    return found[0] if len(found) == 1 and text.strip().lstrip("\\") == found[0] else None


def written(name: str) -> str:
    """`name` as it stands in Verilog; a flat name of a submodule is never a keyword, a port of the top neither."""
    return name if _PLAIN.fullmatch(name) else f"\\{name} "


@dataclass(frozen=True)
class Declaration:
    """A wire, register or memory: `[7:0] `, ` [255:0]`, ` = 8'h00` or empty strings, and whether it is a port."""

    kind: str
    width: str = ""
    depth: str = ""
    initial: str = ""
    port: str = ""

    @property
    def bits(self) -> int:
        """Bits of one word of it."""
        return int(self.width[1:].split(":")[0]) + 1 if self.width else 1


@dataclass(frozen=True)
class Statement:
    """An `assign` (kind "assign"), the body of `always @*` ("comb") or of `always @(posedge clk)` ("clocked"), or an
    `initial` block ("initial"); lines without indentation of their own level."""

    kind: str
    lines: tuple[str, ...]

    @property
    def assigned(self) -> tuple[str, str]:
        """Both sides of an `assign`."""
        left, _, right = self.lines[0].removeprefix("assign ").rstrip(";").partition(" = ")
        return left, right


@dataclass
class Module:
    """What a module declares, says and contains."""

    name: str
    ports: list[str] = field(default_factory=list)
    declarations: dict[str, Declaration] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    instances: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


def _declare(module: Module, line: str, match: re.Match[str]) -> None:
    kind, width, token, depth, initial = match.groups()
    name = next(names(token))
    before = module.declarations.get(name)
    found = Declaration(kind, width or "", depth or "", initial or "")
    if kind in ("input", "output"):
        module.ports.append(name)
        found = replace(found, kind="wire", port=kind)
    elif before is not None:
        found = replace(found, port=before.port)
    module.declarations[name] = found


def parse(text: str) -> dict[str, Module]:
    """Modules by name.

    Raises
    ------
    NotUnderstood: a line of another form.
    """
    modules: dict[str, Module] = {}
    module: Module | None = None
    lines = iter(text.splitlines())
    for line in lines:
        line = line.rstrip() if not line.rstrip().endswith("\\") else line
        stripped = line.strip()
        if not stripped or stripped.startswith(("/*", "//", "(*")):
            continue
        if started := _MODULE.match(line):
            module = Module(next(names(started.group(1))))
            modules[module.name] = module
            while ");" not in line:
                line = next(lines)
        elif module is None:
            raise NotUnderstood(f"outside of a module: {stripped}")
        elif stripped == "endmodule":
            module = None
        elif found := _DECLARATION.match(line):
            _declare(module, line, found)
        elif stripped.startswith("assign "):
            module.statements.append(Statement("assign", (stripped,)))
        elif stripped.startswith(("always ", "initial ")):
            module.statements.append(_process(stripped, lines))
        elif found := _INSTANCE.match(line):
            module.instances.append((next(names(found.group(1))), next(names(found.group(2))), _connections(lines)))
        else:
            raise NotUnderstood(f"in module {module.name}: {stripped}")
    return modules


def _process(head: str, lines: Iterator[str]) -> Statement:
    kind = "initial"
    if head.startswith("always @*"):
        kind = "comb"
    elif head.startswith("always @(posedge clk)"):
        kind = "clocked"
    elif not head.startswith("initial"):
        raise NotUnderstood(head)
    body = []
    if head.endswith("begin"):
        for line in lines:
            if line == "  end":
                break
            if not line.lstrip().startswith("(*"):
                body.append(line[4:].replace("/* empty */;", ";"))
    else:
        body.append(next(lines)[4:])
    return Statement(kind, tuple(body))


def _connections(lines: Iterator[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        if line.strip() == ");":
            break
        match = _CONNECTION.match(line)
        if match is None:
            raise NotUnderstood(line.strip())
        found[next(names(match.group(1)))] = match.group(2)
    return found


@dataclass
class Flat:
    """One module that holds all of a design; submodule names stand in front, joined by two underscores."""

    ports: list[str]
    declarations: dict[str, Declaration]
    statements: list[Statement]


def flatten(text: str, top: str) -> Flat:
    """The design `top` of `text` without its hierarchy.

    Raises
    ------
    NotUnderstood: Verilog of another form than Yosys writes, or two flat names that are the same.
    """
    modules = parse(text)
    flat = Flat(list(modules[top].ports), {}, [])
    _place(modules, modules[top], "", {}, flat)
    return flat


def _place(modules: dict[str, Module], module: Module, prefix: str, bound: dict[str, str], flat: Flat) -> None:
    """Adds `module` under `prefix`; `bound` has the flat names of ports that are nets of the module around it."""
    known = dict(bound)
    for name, declaration in module.declarations.items():
        target = known.get(name)
        if target is None:
            target = known[name] = f"{prefix}{name}"
            if target in flat.declarations:
                raise NotUnderstood(f"two names become {target}")
            flat.declarations[target] = declaration if not prefix else replace(declaration, port="")
        elif declaration.kind == "reg" and declaration.port == "output":
            # The net outside is this register.
            flat.declarations[target] = replace(declaration, port=flat.declarations[target].port)

    def renamed(text: str) -> str:
        return TOKEN.sub(lambda m: _renamed(m, known), text)

    for statement in module.statements:
        flat.statements.append(Statement(statement.kind, tuple(renamed(line) for line in statement.lines)))
    for kind, name, connections in module.instances:
        child = modules[kind]
        inner = {}
        for port, outside in connections.items():
            inside = f"{prefix}{name}{SEPARATOR}{port}"
            shape = child.declarations[port]
            net = only_name(outside)
            if net is not None and _same_shape(shape, flat.declarations[known[net]]):
                inner[port] = known[net]
                continue
            inner[port] = inside
            flat.declarations[inside] = replace(shape, port="")
            ends = (written(inside), renamed(outside).strip())
            left, right = ends if shape.port == "input" else reversed(ends)
            flat.statements.append(Statement("assign", (f"assign {left} = {right};",)))
        _place(modules, child, f"{prefix}{name}{SEPARATOR}", inner, flat)


def _same_shape(one: Declaration, other: Declaration) -> bool:
    return one.width == other.width and not other.depth


def _renamed(match: re.Match[str], known: dict[str, str]) -> str:
    token = match.group(1)
    if token is None or token in KEYWORDS:
        return match.group(0)
    name = token.lstrip("\\").rstrip()
    if name not in known:
        raise NotUnderstood(f"{name} is used and not declared")
    return written(known[name])
