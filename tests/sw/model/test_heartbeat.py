"""The heartbeat of the host: when the kill switch goes up, and what keeps it up."""

from tickgate.sw.model.heartbeat import Heartbeat


def test_heartbeat_without_a_limit_never_kills():
    heartbeat = Heartbeat()
    heartbeat.beat(5)
    assert heartbeat.kill_cycle() is None and not heartbeat.holds_kill(1 << 40)


def test_heartbeat_kills_at_the_limit_after_the_last_sign_of_life():
    heartbeat = Heartbeat()
    heartbeat.write_limit(100, 50)
    assert heartbeat.kill_cycle() == 150
    heartbeat.beat(149)
    assert not heartbeat.holds_kill(198) and heartbeat.holds_kill(199) and heartbeat.holds_kill(10_000)
    heartbeat.beat(10_001)
    assert not heartbeat.holds_kill(10_001)


def test_heartbeat_limit_of_zero_switches_it_off():
    heartbeat = Heartbeat()
    heartbeat.write_limit(100, 50)
    heartbeat.write_limit(120, 0)
    assert heartbeat.kill_cycle() is None


def test_heartbeat_limit_of_one_acts_like_two():
    heartbeat = Heartbeat()
    heartbeat.write_limit(100, 1)
    assert heartbeat.kill_cycle() == 102
