"""The C side by itself: what it allocates, floods of checksummed frames, and two threads under ThreadSanitizer."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from port_flow import need_rights

from tickgate.drivers import get_include, netns

HERE = Path(__file__).resolve().parent / "c"
BACKENDS = ("shm", "udp", "packet", "xdp-skb", "xdp-drv")
WITH_DPDK = "-DTG_WITH_DPDK"
THREAD_SANITIZER = ("-fsanitize=thread", "-DTG_ONE_MAPPING")
ADDRESS_SANITIZER = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ALLOCATOR = ("malloc", "calloc", "realloc", "aligned_alloc", "free")


@pytest.fixture(scope="module")
def compile_c(tmp_path_factory):
    """A function that compiles a program of tests/drivers/c with the sources of the ports."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("cc is missing: Debian package gcc")
    where, made = tmp_path_factory.mktemp("c"), {}
    every = sorted(Path(get_include()).glob("*.c"))

    def build(name, *flags):
        key = (name, *flags)
        if key not in made:
            made[key] = where / f"{name}{len(made)}"
            dpdk = WITH_DPDK in flags
            sources = [path for path in every if dpdk or path.name != "dpdk.c"]
            words = [
                compiler,
                "-std=gnu11",
                "-D_GNU_SOURCE",
                "-O2",
                "-g",
                "-Wall",
                "-Wextra",
                "-Werror",
                *flags,
                f"-I{get_include()}",
                *(dpdk_flags("--cflags") if dpdk else ()),
            ]
            libraries = ["-lpthread", "-Wl,--as-needed", *dpdk_flags("--libs")] if dpdk else ["-lpthread"]
            subprocess.run(
                [*words, str(HERE / f"{name}.c"), *map(str, sources), *libraries, "-o", str(made[key])], check=True
            )
        return str(made[key])

    return build


def dpdk_flags(what):
    """Flags of DPDK for the compiler, its headers as those of the system: their warnings are not ours."""
    said = subprocess.run(["pkg-config", what, "libdpdk"], capture_output=True, text=True, check=True).stdout.split()
    flags = [re.sub("^-I", "-isystem", word) for word in said if not word.startswith("-march=")]
    return [*flags, "-mssse3"] if what == "--cflags" else flags


@pytest.fixture(params=BACKENDS)
def run(request):
    """A function that runs a program with a backend where the interfaces va and vb are."""
    yield from running(request.param)


@pytest.fixture(params=(*BACKENDS, "dpdk"))
def run_or_dpdk(request):
    """The same, and the flags that the program needs: with DPDK too, which is not there for sanitizers."""
    backend, flags = request.param, ()
    if backend == "dpdk":
        pkg_config = shutil.which("pkg-config")
        if pkg_config is None or subprocess.run([pkg_config, "--exists", "libdpdk"], check=False).returncode:
            pytest.skip("DPDK is missing: Debian packages libdpdk-dev and pkg-config")
        flags = (WITH_DPDK,)
    for here in running(backend):
        yield here, flags


def running(backend):
    if backend in ("shm", "udp"):

        def here(program, *words, timeout=120):
            return subprocess.run(
                [program, backend, *words], capture_output=True, text=True, timeout=timeout, check=True
            ).stdout

        yield here
        return
    need_rights("sys_admin", "net_admin", "net_raw", "bpf")
    with netns.Namespace() as space:
        netns.veth_pair((space, "va"), (space, "vb"))
        yield lambda program, *words, timeout=120: space.run(program, backend, *words, timeout=timeout).stdout


def test_the_hot_path_calls_no_allocator(compile_c, run_or_dpdk):
    run, flags = run_or_dpdk
    program = compile_c("allocations", *flags, *(f"-Wl,--wrap={name}" for name in ALLOCATOR))
    said = run(program).split()
    frames, opening, on_the_way = int(said[0]), int(said[2]), int(said[6])
    assert frames >= 20_000
    assert opening > 0  # the counter counts
    assert on_the_way == 0


def test_a_flood_loses_repeats_and_changes_nothing(compile_c, run_or_dpdk):
    run, flags = run_or_dpdk
    said = json.loads(run(compile_c("flood", *flags), "16384", "50000", "25"))
    assert said["sent"] == said["received"] == 50_000
    assert (said["lost"], said["corrupted"], said["duplicated"], said["disordered"]) == (0, 0, 0, 0)


def test_a_flood_with_planted_faults_is_told_of(compile_c, run_or_dpdk):
    run, flags = run_or_dpdk
    said = json.loads(run(compile_c("flood", *flags), "16384", "1000", "25", "plant"))
    # Number 5 came with a wrong byte and 7 not at all: both are missing; 6 came twice.
    assert (said["lost"], said["corrupted"], said["duplicated"]) == (2, 1, 1)


def test_a_flood_is_clean_under_address_and_undefined_behaviour_sanitizers(compile_c, run):
    program = compile_c("flood", *ADDRESS_SANITIZER)
    said = json.loads(run(program, "16384", "20000", "10"))
    assert said["received"] == 20_000 and said["corrupted"] == 0


@pytest.mark.parametrize(("fault", "told"), [("overflow", "heap-buffer-overflow"), ("shift", "shift exponent 64")])
def test_the_sanitizers_find_a_planted_fault(compile_c, fault, told):
    program = compile_c("planted", *ADDRESS_SANITIZER)
    done = subprocess.run([program, fault], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and told in done.stderr
    assert subprocess.run([program, "none"], capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.soak
def test_ten_million_frames_at_half_the_rate(compile_c, run_or_dpdk):
    run, flags = run_or_dpdk
    # For a machine at rest: net_af_xdp has 2,048 frames to receive into, whatever it is asked for, which half of its
    # rate fills in 10 ms; where others take the processor away for longer, DPDK loses some.
    said = json.loads(run(compile_c("flood", *flags), "32768", "10000000", "49", timeout=1200))
    print(said)
    assert said["paced_rate"] <= said["rate"] / 2
    assert said["sent"] == said["received"] == 10_000_000
    assert (said["lost"], said["corrupted"], said["duplicated"], said["disordered"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("sanitizer", ["none", "thread"])
def test_two_threads_share_the_rings_without_a_race(compile_c, sanitizer):
    if sanitizer == "none":
        words = [compile_c("stress"), "1000000"]
    else:
        # The sanitizer's shadow memory wants a fixed layout, which randomised addresses of newer kernels break.
        if shutil.which("setarch") is None:
            pytest.skip("setarch is missing: Debian package util-linux")
        words = ["setarch", "-R", compile_c("stress", *THREAD_SANITIZER), "50000"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert "ThreadSanitizer" not in done.stderr, done.stderr
    assert done.returncode == 0 and "0 wrong" in done.stdout


def test_thread_sanitizer_finds_a_planted_race(compile_c):
    # The same program with loads and stores that order nothing.
    if shutil.which("setarch") is None:
        pytest.skip("setarch is missing: Debian package util-linux")
    program = compile_c("stress", *THREAD_SANITIZER, "-DTG_PLANT_RACE")
    done = subprocess.run(["setarch", "-R", program, "20000"], capture_output=True, text=True, timeout=300, check=False)
    assert "WARNING: ThreadSanitizer: data race" in done.stderr
