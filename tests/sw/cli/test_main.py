"""The launcher: what it lists, what it loads, and what each mistake turns into."""

import argparse
import errno
import importlib.metadata
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tickgate.sw.cli import main as launcher
from tickgate.sw.spec.errors import UserError

# `tickgate info` with a command of the test's own in its place; "RUN" is the body of its run function.
LAUNCH = """
import sys, time, types
from tickgate.sw.cli import main as launcher
def run(args):
    RUN
    return 0
launcher.load_command = lambda name: types.SimpleNamespace(help="x", configure=lambda p: None, run=run)
sys.exit(launcher.main(["info"]))
"""


def command(run) -> types.SimpleNamespace:
    return types.SimpleNamespace(help="a test", configure=lambda parser: parser.add_argument("--n", type=int), run=run)


@pytest.fixture
def run_with(monkeypatch):
    """Run `tickgate info` with the given function in the place of the command."""

    def start(run, *arguments: str) -> int:
        monkeypatch.setattr(launcher, "load_command", lambda name: command(run))
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        try:
            return launcher.main(["info", *arguments])
        finally:
            signal.signal(signal.SIGTERM, before[0])
            signal.signal(signal.SIGINT, before[1])

    return start


def raising(error: BaseException):
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


def test_help_lists_every_command_with_one_line(capsys):
    assert launcher.main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, entry in launcher.BUILTIN.items():
        assert any(line.split() == [name, *entry.help.split()] for line in out.splitlines()), name


def test_no_command_prints_help(capsys):
    assert launcher.main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_version_is_printed(capsys):
    assert launcher.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tickgate ")


def test_help_imports_no_tool():
    program = (
        "import sys; from tickgate.sw.cli.main import main; main(['--help']);"
        "print([m for m in ('amaranth', 'cocotb', 'numpy', 'rich', 'scapy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("status", [0, 1])
def test_status_of_the_command_is_returned(run_with, status):
    assert run_with(lambda args: status) == status


def test_options_reach_the_command(run_with):
    assert run_with(lambda args: args.n, "--n", "1") == 1


@pytest.mark.parametrize("arguments", [["--n", "many"], ["--nonsense"], ["surplus"]])
def test_wrong_option_exits_2_and_names_the_command(run_with, capsys, arguments):
    assert run_with(lambda args: 0, *arguments) == 2
    assert "tickgate info: error:" in capsys.readouterr().err


def test_wrong_option_before_the_command_exits_2(capsys):
    assert launcher.main(["--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err


def test_command_help_exits_0(run_with, capsys):
    assert run_with(lambda args: 1, "--help") == 0
    assert "tickgate info" in capsys.readouterr().out


def test_unknown_command_exits_2_and_names_the_commands(capsys):
    assert launcher.main(["nonesuch"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("tickgate: error: no command 'nonesuch'; the commands are: ")
    assert "doctor" in err


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserError("depth must be a power of two, not 12"), "depth must be a power of two, not 12"),
        (FileNotFoundError(errno.ENOENT, "x", "a.itch"), "no such file: a.itch"),
        (IsADirectoryError(errno.EISDIR, "x", "folder"), "is a folder, not a file: folder"),
        (NotADirectoryError(errno.ENOTDIR, "x", "a/b"), "a part of this path is a file, not a folder: a/b"),
        (PermissionError(errno.EACCES, "x", "secret"), "no permission for: secret"),
        (OSError(errno.EROFS, "x", "fixed"), "no permission for: fixed"),
        (OSError(errno.ENOSPC, "x", "big.pcap"), "no space left on the disk while writing big.pcap"),
        (OSError(errno.ENOSPC, "x"), "no space left on the disk"),
        (OSError(errno.EDQUOT, "x"), "no space left on the disk"),
        (OSError(errno.EFBIG, "x", "big"), "the file would be larger than allowed: big"),
        (OSError(errno.ENAMETOOLONG, "x", "n" * 300), "the name is too long: " + "n" * 60 + "..."),
        (FileNotFoundError(errno.ENOENT, "x", b"bytes"), "no such file: bytes"),
    ],
)
def test_mistake_of_the_user_is_one_line_and_status_2(run_with, capsys, error, text):
    assert run_with(raising(error)) == 2
    assert capsys.readouterr().err == f"tickgate: error: {text}\n"


def test_second_line_of_a_user_error_is_indented(run_with, capsys):
    assert run_with(raising(UserError("not an ITCH file\nit looks like a PNG"))) == 2
    assert capsys.readouterr().err == "tickgate: error: not an ITCH file\n  it looks like a PNG\n"


def test_missing_package_names_the_extra(run_with, capsys):
    assert run_with(raising(ModuleNotFoundError("x", name="pyarrow.parquet"))) == 2
    assert "pip install 'tickgate[files]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [ValueError("a defect"), OSError(errno.EIO, "x"), ModuleNotFoundError("x", name="tickgate.nonesuch")]
)
def test_defect_is_not_dressed_up_as_a_mistake(run_with, error):
    with pytest.raises(type(error)):
        run_with(raising(error))


def test_interrupt_exits_130(run_with, capsys):
    assert run_with(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "tickgate: interrupted\n"


def test_part_that_is_not_installed_names_the_extra(monkeypatch):
    entry = launcher.Builtin("tickgate.sim.nonesuch.compare", "x", "sim")
    monkeypatch.setitem(launcher.BUILTIN, "compare", entry)
    with pytest.raises(UserError, match=r"not part of this installation.*\n.*tickgate\[sim\]"):
        launcher.load_command("compare")


def test_defect_inside_a_command_module_is_not_called_missing(monkeypatch):
    # The module is there, but an import within it fails: that is another error with another fix.
    def broken(target):
        raise ModuleNotFoundError("x", name="tickgate.sw.spec.nonesuch")

    monkeypatch.setattr(launcher.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        launcher.load_command("info")


def test_command_of_another_package_is_found_and_listed(monkeypatch, capsys):
    module = types.ModuleType("added_command")
    module.help, module.configure, module.run = "added", lambda parser: None, lambda args: 7
    monkeypatch.setitem(sys.modules, "added_command", module)
    point = importlib.metadata.EntryPoint("added", "added_command", launcher.GROUP)
    broken = importlib.metadata.EntryPoint("broken", "no_such_module_here", launcher.GROUP)
    monkeypatch.setattr(launcher, "entry_points", lambda group: [point, broken])
    assert launcher.main(["added"]) == 7
    assert launcher.main(["broken"]) == 2
    assert "no_such_module_here" in capsys.readouterr().err
    assert launcher.main(["--help"]) == 0
    assert "(from added_command)" in capsys.readouterr().out


def launch(run: str, **options) -> subprocess.Popen:
    program = LAUNCH.replace("RUN", run)
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_exits_130_without_traceback(number):
    process = launch('print("waiting", flush=True); time.sleep(30)', stdout=subprocess.PIPE)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "tickgate: interrupted\n"


def test_closed_pipe_is_quiet():
    process = launch('[print("x" * 1000) for _ in range(100_000)]', stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=20) == 128 + signal.SIGPIPE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there")
def test_full_disk_under_standard_output_exits_2():
    with open("/dev/full", "w") as full:
        process = launch('print("x")', stdout=full)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert err == "tickgate: error: no space left on the disk\n"


@pytest.mark.parametrize("name", launcher.BUILTIN)
def test_builtin_command_loads_and_offers_what_the_launcher_needs(name):
    loaded = launcher.load_command(name)
    assert isinstance(loaded.help, str) and loaded.help
    loaded.configure(argparse.ArgumentParser())
    assert callable(loaded.run)


def test_console_script_runs(tmp_path):
    script = Path(sys.executable).with_name("tickgate")
    if not script.exists():
        pytest.skip("the tickgate script is not installed (make setup)")
    done = subprocess.run(
        [script, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path, env=os.environ
    )
    assert done.stdout.startswith("tickgate ")
