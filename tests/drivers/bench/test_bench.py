"""`tickgate bench`: frames of every path arrive and are counted, its object fits the schema, what is missing is told.

No test judges a time: machines that run tests are busy.
"""

import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from port_flow import environment, interpreter, need_rights

from tickgate.drivers._clock import Clock
from tickgate.drivers._histogram import Histogram
from tickgate.drivers.bench import paths as bench_paths
from tickgate.drivers.bench import peers, pipeline, report
from tickgate.drivers.bench import pipeline_far as far
from tickgate.drivers.bench._loops import CacheLine
from tickgate.drivers.bench.cli import measured
from tickgate.drivers.bench.measure import Measurement, Plan, ratio, usual_mean
from tickgate.drivers.bench.paths import KINDS, Bench
from tickgate.drivers.errors import MissingRightError, PortError
from tickgate.sw.cli.main import main

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "docs/reference/bench.schema.json").read_text())
OURS = [name for name, kind in KINDS.items() if kind.peer is None and kind.backend != "dpdk"]
TRIPS = 20
FRAMES = 1000  # of the pipeline's session


def plan(**values):
    return Plan(**{"rounds": 1, "trips": TRIPS, "trip_limit_ms": 20_000, "flood_ms": 3, "patience_ms": 5_000, **values})


def run(names, programs=None, **values):
    return measured(names, programs or {}, Measurement(plan(**values)), quick=True)


def check(result):
    jsonschema.validate(result, SCHEMA)
    return result


def need(name):
    if KINDS[name].link in ("veth", "tap"):
        need_rights("sys_admin", "net_admin", "net_raw", "bpf")


@pytest.mark.parametrize("name", OURS)
def test_frames_of_every_path_arrive_and_are_counted(name):
    need(name)
    made = check(run([name]))["paths"][name]
    assert made["missing"] is None and made["mode"]
    for size in ("64", "128", "1500"):
        trips, flood = made["round_trip"][size], made["one_way"][size]
        assert (trips["count"], trips["lost"]) == (TRIPS, 0)
        assert sum(bucket[2] for bucket in trips["buckets_ns"]) == TRIPS
        assert 0 < trips["min_ns"] <= trips["p50_ns"] <= trips["p99_ns"] <= trips["max_ns"]
        assert 0 < flood["received"] <= flood["sent"]
        assert flood["lost"] == flood["sent"] - flood["received"] and flood["rate_fps"] > 0


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.backend == "dpdk"])
def test_frames_of_dpdk_arrive_and_are_counted(name):
    if importlib.util.find_spec("tickgate.drivers._dpdk") is None:
        pytest.skip("the DPDK backend is not built: Debian packages dpdk and libdpdk-dev, then make setup")
    need(name)
    # In a process of its own: DPDK's environment stays in the one that it was made in.
    words = ["bench", "--quick", f"--only={name}", "--rounds=1", f"--trips={TRIPS}", "--sizes=64", "--json"]
    program = f"import sys; from tickgate.sw.cli.main import main; sys.exit(main({words!r}))"
    done = subprocess.run(
        [*interpreter(), "-c", program], env=environment(), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    made = check(json.loads(done.stdout))["paths"][name]
    assert done.stderr == "" and made["mode"] == "net_af_xdp" and made["missing"] is None
    assert made["round_trip"]["64"]["count"] > 0
    assert 0 < made["one_way"]["64"]["received"] <= made["one_way"]["64"]["sent"]


def test_a_cache_line_goes_to_and_fro_and_needs_somebody_who_answers():
    # Both ends on one CPU, where a busy machine may put them, answer each other no more than once in a time slice.
    near, far_cpu = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    made = check(run(["shm"], sizes=(64,), rounds=2, near_cpu=near, far_cpu=far_cpu))["cache_line"]
    assert len(made["round_ns"]) == 2 and made["median_ns"] > 0
    assert CacheLine(Clock()).bounce(10, 1_000_000) is None


def test_sizes_are_those_of_frames_whatever_the_path_adds():
    need("udp")
    with Bench(["udp", "packet"], {}) as bench:
        Measurement(plan(sizes=(64,), flood_ms=1)).run(bench, lambda what: None)
        for name, payload in (("udp", 22), ("packet", 64)):
            counted = bench.paths[name].near.stats()
            assert counted.tx_bytes == payload * counted.tx_frames


def test_ratios_are_medians_over_rounds_of_figures_of_one_round():
    assert ratio([10, 30, 50], [10, 10, 10]) == 3
    assert ratio([10, None, 80], [20, 5, 20]) == pytest.approx(2.25)
    assert ratio([10], []) is None and ratio([None], [1]) is None
    need("udp")
    made = check(run(["udp", "shm"], rounds=2, sizes=(64,)))
    assert made["rounds_done"] == 2
    assert made["paths"]["udp"]["round_trip"]["64"]["ratio"] == 1
    mine, base = (made["paths"][name]["round_trip"]["64"]["round_p50_ns"] for name in ("shm", "udp"))
    assert made["paths"]["shm"]["round_trip"]["64"]["ratio"] == pytest.approx(ratio(mine, base))
    assert made["cython"]["path"] == "shm" and made["cython"]["ratio"] > 0


def test_the_usual_mean_leaves_the_longest_tenth_out():
    times = Histogram()
    assert usual_mean(times) is None
    for value in [10] * 45 + [20] * 45 + [1_000_000] * 10:
        times.record(value)
    assert usual_mean(times) == 15


def test_a_run_ends_when_its_time_is_over():
    made = check(run(["shm"], rounds=9, budget_s=0.0))
    assert made["rounds_done"] == 0
    assert made["paths"]["shm"]["round_trip"]["64"]["p50_ns"] is None and made["cython"] is None


def test_the_schema_refuses_what_is_not_stated():
    made = run(["shm"], sizes=(64,))
    for wrong in ({**made, "more": 1}, {**made, "sizes": "64"}, {k: v for k, v in made.items() if k != "machine"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


def test_without_namespaces_udp_meets_on_the_loopback_and_others_say_why(monkeypatch):
    def refused():
        raise MissingRightError("making a network namespace: the right CAP_SYS_ADMIN is missing\nrun as root")

    monkeypatch.setattr(bench_paths, "Namespace", refused)
    names = ["udp", "udp-blocking", "packet", "tap-xdp", "shm", "pipeline"]
    result = check(run(names, sizes=(64,), flow_frames=FRAMES))
    flows = result["pipeline"]
    assert flows["udp"]["link"] == "loopback" and flows["udp"]["orders"]["count"] == flows["shm"]["orders"]["count"] > 0
    assert "CAP_SYS_ADMIN is missing" in flows["packet"]["missing"]
    made = result["paths"]
    assert made["udp"]["link"] == made["udp-blocking"]["link"] == "loopback"
    assert made["udp"]["round_trip"]["64"]["count"] == made["shm"]["round_trip"]["64"]["count"] == TRIPS
    for name in ("packet", "tap-xdp"):
        assert "CAP_SYS_ADMIN is missing; run as root" in made[name]["missing"]
        assert made[name]["round_trip"] == {}


def test_a_path_that_fails_on_the_way_is_told_and_fails_the_run():
    measurement = Measurement(plan(sizes=(64, 128)))
    with Bench(["shm"], {}) as bench:
        bench.paths["shm"].far.close()
        measurement.run(bench, lambda what: None)
        made = measurement.results(bench)["shm"]
    assert made["missing"] and made["round_trip"]["64"]["count"] == 0
    assert made["round_trip"]["128"]["round_p50_ns"] == [None]


def test_nothing_that_was_made_stays_open():
    need("packet")
    before = len(os.listdir("/proc/self/fd"))
    run(["udp", "packet", "tap-packet", "shm"], sizes=(64,), flood_ms=1)
    assert len(os.listdir("/proc/self/fd")) == before


# The software pipeline


@pytest.mark.parametrize("name", pipeline.PATHS)
def test_orders_of_the_pipeline_are_those_of_the_model_over_every_path(name):
    need(name)
    made = check(run([name, "pipeline"], sizes=(64,), flow_frames=FRAMES))["pipeline"][name]
    assert made["missing"] is None and made["mode"]
    orders = [order for order in pipeline.Expected(FRAMES).orders if order]
    assert made["orders"]["count"] == len(orders) > 0
    assert 0 < made["inside_p50_ns"] <= made["orders"]["p50_ns"] * 1.001


def test_an_order_that_is_not_the_models_fails_the_run():
    expected = pipeline.Expected(FRAMES)
    at = next(number for number, orders in enumerate(expected.orders) if orders)
    expected.orders[at] = [bytes(50)]
    with Bench([], {}, flows=["shm"], messages=FRAMES) as bench:
        flow = bench.flows["shm"]
        assert flow.missing is None
        with pytest.raises(PortError, match="another order than the model makes"):
            flow.running.play(expected, FRAMES, Clock(), Histogram(), Histogram())


def test_a_pipeline_that_ends_is_told_and_fails_the_run(monkeypatch):
    monkeypatch.setattr(pipeline, "PATIENCE_S", 0.05)
    measurement = Measurement(plan(rounds=1, flow_frames=FRAMES))
    with Bench([], {}, flows=["shm"], messages=FRAMES) as bench:
        os.kill(bench.flows["shm"].running.program.pid, 9)
        measurement.run(bench, lambda what: None)
        made = measurement.pipeline(bench)["shm"]
    assert made["missing"] and made["orders"]["round_p50_ns"] == [None]


def test_a_pipeline_that_does_not_start_says_why(monkeypatch):
    monkeypatch.setattr(pipeline.sys, "executable", "/bin/false")
    with Bench([], {}, flows=["shm"], messages=FRAMES) as bench:
        assert bench.flows["shm"].missing == "the pipeline did not start: nothing was said"


def test_the_page_draws_the_pipeline_and_tells_what_is_missing_of_it():
    made = run(["shm", "pipeline"], sizes=(64,), flow_frames=FRAMES)
    text = report.render(made)
    assert text.count("<svg") == 4 and "through the software pipeline" in text and "A bare cache line" in text
    made["pipeline"]["shm"] |= {"missing": "gone"}
    assert "Missing: shared memory: gone" in report.render(made)


def test_both_sides_of_the_pipeline_have_the_same_session():
    frames, _ = far.session(FRAMES)
    assert len(frames) == FRAMES and frames == pipeline.Expected(FRAMES).frames


# Peers


def test_unmodified_testpmd_answers():
    file = shutil.which("dpdk-testpmd")
    if file is None:
        pytest.skip("dpdk-testpmd is not on the PATH: Debian package dpdk-dev")
    need("testpmd")
    made = check(run(["testpmd"], {"testpmd": file}, sizes=(64,)))["paths"]["testpmd"]
    assert made["missing"] is None
    assert (made["round_trip"]["64"]["count"], made["round_trip"]["64"]["lost"]) == (TRIPS, 0)


def program(folder, name, text):
    file = folder / name
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


ECHO = """#!{python} -S
import socket, sys
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sock.bind((sys.argv[sys.argv.index("-i") + 1], 0))
while True:
    data, where = sock.recvfrom(2048)
    if where[2] != socket.PACKET_OUTGOING:
        sock.send(data[6:12] + data[:6] + data[12:])
"""


def test_the_script_builds_xdpsock_from_a_checkout(tmp_path, repository):
    script = repository / "drivers/bench/xdpsock.sh"
    compiler = program(
        tmp_path, "cc",
        '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nprintf "#!/bin/sh\\necho built\\n" >"$2"\nchmod +x "$2"\n',
    )  # fmt: skip
    (tmp_path / "sources/AF_XDP-example").mkdir(parents=True)
    words = [script, tmp_path / "made", tmp_path / "sources"]
    done = subprocess.run(words, env={**os.environ, "CC": compiler}, capture_output=True, text=True, check=True)
    made = done.stdout.strip()
    assert made == str(tmp_path / "made/xdpsock") and os.access(made, os.X_OK)
    # Where the limit of locked memory stands, a script in its place starts it with a library in front.
    lifted = subprocess.run(["sh", "-c", "ulimit -l unlimited"], capture_output=True, check=False).returncode == 0
    assert ("LD_PRELOAD" in Path(made).read_text()) == (not lifted)
    assert subprocess.run([script], capture_output=True, check=False).returncode == 2


def test_our_own_answer_stands_beside_a_peers(tmp_path):
    need("xdpsock")
    echo = program(tmp_path, "xdpsock", ECHO.format(python=sys.executable))
    made = check(run(["xdp-skb", "xdpsock"], {"xdpsock": echo}, sizes=(64,), rounds=2))
    ours, theirs = (made["paths"][name]["round_trip"]["64"] for name in ("xdp-skb", "xdpsock"))
    assert theirs["echo_ratio"] == pytest.approx(ratio(ours["round_p50_ns"], theirs["round_p50_ns"]))
    assert ours["echo_ratio"] is None
    assert f"AF_XDP against xdpsock -l, ratio of round trips: {theirs['echo_ratio']:.3f} (64 bytes)" in report.render(
        made
    )


def test_missing_peers_are_told_as_missing(monkeypatch, capsys):
    monkeypatch.setattr(peers.shutil, "which", lambda name: None)
    assert main(["bench", "--quick", "--rounds=1", "--trips=9", "--sizes=64", "--only=shm,testpmd,xdpsock"]) == 0
    said = capsys.readouterr().out
    assert "missing: dpdk-testpmd, macswap: dpdk-testpmd is not on the PATH" in said
    assert "missing: xdpsock -l: xdpsock is not on the PATH" in said


def test_a_peer_answers_and_rests_between_its_turns(tmp_path):
    need("xdpsock")
    echo = program(tmp_path, "xdpsock", ECHO.format(python=sys.executable))
    measurement = Measurement(plan(sizes=(64,)))
    with Bench(["xdpsock"], {"xdpsock": echo}) as bench:
        path = bench.paths["xdpsock"]
        assert path.missing is None
        state = Path(f"/proc/{path.program.pid}/stat")
        measurement.run(bench, lambda what: None)
        assert state.read_text().rpartition(")")[2].split()[0] == "T"
        made = measurement.results(bench)["xdpsock"]
    assert made["missing"] is None and made["peer"]
    assert made["round_trip"]["64"]["count"] == TRIPS and made["one_way"] == {}
    assert not state.exists()


def test_a_peer_that_does_not_stay_up_is_missing_with_its_last_words(tmp_path):
    need("xdpsock")
    broken = program(tmp_path, "xdpsock", "#!/bin/sh\necho starting\necho no such mode >&2\nexit 3\n")
    made = check(run(["shm", "xdpsock"], {"xdpsock": broken}, sizes=(64,)))
    assert made["paths"]["xdpsock"]["missing"] == "xdpsock ended at once with status 3: no such mode"
    assert made["failed"] == []


def test_a_peer_that_does_not_answer_fails_the_run(tmp_path):
    need("xdpsock")
    silent = program(tmp_path, "xdpsock", "#!/bin/sh\nexec sleep 60\n")
    made = check(run(["xdpsock"], {"xdpsock": silent}, sizes=(64,), patience_ms=5))
    assert made["paths"]["xdpsock"]["missing"] == "xdpsock -l: nobody answers"
    assert made["failed"] == ["xdpsock"]


def test_a_peer_that_ended_is_told(tmp_path):
    need("xdpsock")
    with Bench(["xdpsock"], {"xdpsock": program(tmp_path, "xdpsock", "#!/bin/sh\nexec sleep 60\n")}) as bench:
        peer = bench.paths["xdpsock"].program
        os.kill(peer.pid, 9)
        with pytest.raises(PortError, match="ended by itself with status -9"):
            for _ in range(1_000_000):
                peer.work()


# The command


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "shm,nosuch"], "there is no path 'nosuch'; the paths are: udp,"),
        (["--sizes", "63"], "--sizes takes numbers from 64 to 1514, not '63'"),
        (["--sizes", "64,many"], "not 'many'"),
        (["--cpus", "0"], "--cpus takes two numbers (0,1) or none, not '0'"),
        (["--cpus", "0,4096"], "this process may use the CPUs"),
        (["--rounds", "0"], "--rounds takes a number from 1 to 10,000, not 0"),
        (["--trips", "-1"], "--trips takes a number from 1"),
        (["--peer", "xdpsock"], "--peer takes NAME=FILE, not 'xdpsock'"),
        (["--peer", "other=/bin/sh"], "there is no peer 'other'; the peers are: testpmd, xdpsock"),
        (["--peer", "xdpsock=nowhere"], "nowhere is not a program that can be run"),
        (["--report", "."], "--report takes a file, and . is a folder"),
    ],
)
def test_a_users_mistake_is_one_line(words, told, capsys):
    assert main(["bench", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("tickgate: error: ") and err.count("\n") == 1 and told in err


def test_without_the_compiled_drivers_the_command_says_so(monkeypatch, capsys):
    monkeypatch.setenv("TICKGATE_PURE", "1")
    assert main(["bench", "--quick"]) == 2
    assert capsys.readouterr().err.startswith("tickgate: error: the compiled drivers are not installed\n")


def test_json_is_one_object_and_the_report_has_it_beside(tmp_path, capsys):
    page = tmp_path / "new" / "bench.html"
    words = ["bench", "--quick", "--rounds=1", "--trips=30", "--sizes=64", "--only=shm", "--cpus=none", "--json"]
    assert main([*words, "--report", str(page)]) == 0
    made = check(json.loads(capsys.readouterr().out))
    assert made == json.loads(page.with_suffix(".json").read_text())
    assert made["machine"]["near_cpu"] is None and made["machine"]["kernel"].startswith("Linux ")
    text = page.read_text()
    assert text.count("<svg") == 2 and "shared memory" in text and "Cython against C" in text


def test_the_page_tells_what_is_missing_and_draws_what_is_there(monkeypatch):
    made = run(["shm", "testpmd"], sizes=(64,))
    text = report.render(made)
    assert "Missing in this run" in text and "dpdk-testpmd is not on the PATH" in text
    nothing = run(["testpmd"], sizes=(64,))
    assert "<svg" not in report.render(nothing)


def test_curve_and_density_follow_the_counts():
    buckets = [[100, 100, 90], [200, 201, 9], [4000, 4003, 1]]
    rest, time_ns = report.curve(buckets)
    assert rest.tolist() == pytest.approx([0.10, 0.01, 0.01]) and time_ns.tolist() == [100, 201, 4003]
    at, width = report.density(buckets, slices=10)
    assert width.max() == 1 and width[0] == 1 and width[-1] == pytest.approx(1 / 90)
    assert at[0] < 200 and at[-1] > 3000
