"""A SoupBinTCP server over the kernel's TCP, and a wire to it that loses frames, for tests of order sessions."""

import random
import socket
import threading
from contextlib import contextmanager

from tickgate.drivers import netns
from tickgate.drivers.port import Port
from tickgate.sw.spec import soup

HOST, VENUE, PORT = "198.51.100.1", "198.51.100.2", 8001


class Venue(threading.Thread):
    """A SoupBinTCP server over the kernel's TCP that keeps every byte."""

    def __init__(self, space, reject=b"", silent=False):
        super().__init__(daemon=True)
        with space.entered():
            self.listener = socket.create_server((VENUE, PORT))
        self.listener.settimeout(20)
        self.stream = b""
        self.reject, self.silent, self.ends = reject, silent, threading.Event()
        self.packets_sent = 0
        self.start()

    def run(self):
        with self.listener, self.listener.accept()[0] as sock:
            sock.settimeout(0.05)
            greeted = False
            while not self.ends.is_set():
                try:
                    more = sock.recv(65536)
                    if not more:
                        return
                    self.stream += more
                except TimeoutError:
                    if greeted:
                        sock.sendall(soup.build(soup.SERVER_HEARTBEAT))
                        self.packets_sent += 1
                if not greeted and len(self.stream) >= soup.LOGIN_REQUEST.size and not self.silent:
                    greeted = True
                    answer = soup.build(soup.LOGIN_ACCEPTED, session="DAY1", sequence=1)
                    if self.reject:
                        answer = soup.build(soup.LOGIN_REJECTED, reason=self.reject)
                    sock.sendall(answer + soup.build(soup.SERVER_HEARTBEAT))
                    self.packets_sent += 1


class LossyWire(threading.Thread):
    """Joins two interfaces and drops a seeded share of the frames, where the kernel has no netem."""

    def __init__(self, space, names, share, seed=7):
        super().__init__(daemon=True)
        with space.entered():
            self.ports = [Port.open(name, backend="packet", promiscuous=True) for name in names]
        self.share, self.rng, self.ends = share, random.Random(seed), threading.Event()
        self.dropped = 0

    def run(self):
        while not self.ends.is_set():
            for source, sink in (self.ports, self.ports[::-1]):
                for frame in source.recv_burst(32):
                    if self.rng.random() < self.share:
                        self.dropped += 1
                    else:
                        sink.send(bytes(frame))
                    frame.release()

    def stop(self):
        self.ends.set()
        self.join()
        for port in self.ports:
            port.close()


class Wire:
    """Host and venue in namespaces, joined through a third one, which loses frames in both directions on demand.

    Members
    -------
    how: "netem" or "program", what loses the frames.
    """

    def __init__(self, host, middle, venue):
        self.host, self.middle, self.venue = host, middle, venue
        self.program = None
        self.how = ""

    def lose(self, percent):
        self.how = "netem"
        for name in ("mh", "mv"):
            words = ("tc", "qdisc", "replace", "dev", name, "root", "netem", "loss", f"{percent}%")
            if self.middle.run(*words, check=False).returncode:
                self.how = "program"
        if self.how == "program":
            self.middle.ip("link", "delete", "br0")
            self.program = LossyWire(self.middle, ("mh", "mv"), percent / 100)
            self.program.start()


@contextmanager
def joined():
    """A `Wire` whose namespaces and interfaces go at the end."""
    with netns.Namespace() as host, netns.Namespace() as middle, netns.Namespace() as venue:
        netns.veth_pair((host, "h0"), (middle, "mh"))
        netns.veth_pair((middle, "mv"), (venue, "v0"))
        middle.ip("link", "add", "br0", "type", "bridge")
        for name in ("mh", "mv"):
            middle.ip("link", "set", name, "master", "br0")
        middle.ip("link", "set", "br0", "up")
        host.ip("addr", "add", f"{HOST}/24", "dev", "h0")
        venue.ip("addr", "add", f"{VENUE}/24", "dev", "v0")
        for name in ("tcp_timestamps", "tcp_sack"):
            host.run("sysctl", "-q", f"net.ipv4.{name}=0")
        made = Wire(host, middle, venue)
        try:
            yield made
        finally:
            if made.program is not None:
                made.program.stop()
