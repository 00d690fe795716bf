# cython: language_level=3
"""Ports and views of their frames for Python; see `tickgate.drivers.port` for the contract, c/port.h for the C side."""
cimport cython
from cpython.buffer cimport PyBUF_ND, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.errno cimport EINTR, ENODEV
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

import os
import socket

from tickgate.drivers import errors
from tickgate.drivers._clock cimport tg_clock_raw_ns
from tickgate.drivers.stats import PortStats

cdef extern from "port.h" nogil:
    int tg_port_open(const tg_ops *ops, const tg_config *config, tg_port **port, tg_fault *fault)
    void tg_port_close(tg_port *port)
    const tg_ops *tg_backend(const char *name)
    const char *TG_SHM_PATH

BACKENDS = ("shm", "udp", "packet", "xdp", "xdp-skb", "xdp-drv", "dpdk")


@cython.no_gc
@cython.freelist(1024)
cdef class Frame:
    """A view of one frame; made by a port. It is valid until it is released or sent, or its port is closed: after
    that every use raises `OwnershipError`. A frame that nobody holds any more goes back to its port by itself.

    It is a writable buffer: ``memoryview(frame)``, ``numpy.frombuffer(frame, "u1")``. While such a buffer lives, the
    frame can be neither released nor sent (`BufferError`).
    """

    def __dealloc__(self):
        cdef Port port = self.port
        if port is None or port.c == NULL or port.c.states[self.c.slot] != self.state:
            return
        if port.running:
            port.later[port.later_count] = self.c.slot
            port.later_count += 1
        else:
            tg_release(port.c, &self.c, 1)

    cdef int check(self) except -1:
        if self.port is None or self.port.c == NULL or self.port.c.states[self.c.slot] != self.state:
            raise errors.OwnershipError("this frame was released or sent, or its port is closed: it has no data any more")
        return 0

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        self.check()
        PyBuffer_FillInfo(buffer, self, self.c.data, self.c.len, 0, flags)
        self.exports += 1
        self.port.exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        self.exports -= 1
        self.port.exports -= 1

    def __len__(self):
        self.check()
        return self.c.len

    def __bytes__(self):
        self.check()
        return self.c.data[:self.c.len]

    def __repr__(self):
        return f"<Frame of {self.c.len} bytes>" if self.alive else "<Frame that is gone>"

    @property
    def alive(self):
        """Whether the frame is still the user's."""
        return self.port is not None and self.port.c != NULL and self.port.c.states[self.c.slot] == self.state

    @property
    def slot(self):
        """Number of its slot in the port."""
        return self.c.slot

    @property
    def length(self):
        """Bytes of the frame; may be set, up to the room in its slot, while no buffer of it is in use."""
        self.check()
        return self.c.len

    @length.setter
    def length(self, uint32_t length):
        self.check()
        if self.exports:
            raise BufferError("a buffer of this frame is in use")
        if length > self.port.c.room:
            raise errors.FrameSizeError(f"a slot has room for {self.port.c.room} bytes, not {length}")
        self.c.len = length

    @property
    def stamp(self):
        """Time of receipt in ns on the port's `stamp_clock`, None where unknown; over shm the sender's word."""
        self.check()
        return self.c.stamp or None

    @stamp.setter
    def stamp(self, uint64_t stamp):
        self.check()
        self.c.stamp = stamp

    def write(self, data):
        """Make ``data`` (any contiguous buffer) the content of the frame, and its size the frame's length."""
        cdef Py_buffer view
        self.check()
        if self.exports:
            raise BufferError("a buffer of this frame is in use")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if view.len > self.port.c.room:
                raise errors.FrameSizeError(f"a slot has room for {self.port.c.room} bytes, not {view.len}")
            memcpy(self.c.data, view.buf, view.len)
            self.c.len = <uint32_t>view.len
        finally:
            PyBuffer_Release(&view)

    def release(self):
        """Give the frame back to its port, unsent."""
        self.check()
        self.port.enter()
        self.port.forget(self)
        tg_release(self.port.c, &self.c, 1)


def _address(address, what):
    """(host, port) as numbers: network order and host order."""
    if address is None:
        return 0, 0
    host, number = address
    if not 0 <= number <= 65535:
        raise ValueError(f"{what}: a UDP port is from 0 to 65535, not {number}")
    try:
        return int.from_bytes(socket.inet_aton(host or "0.0.0.0"), "little"), number
    except OSError:
        raise ValueError(f"{what}: an IPv4 address in numbers, not {host!r}") from None


def _power_of_two(value, low, high, what):
    if value & (value - 1) or not low <= value <= high:
        raise ValueError(f"{what} must be a power of two from {low} to {high}, not {value}")


def _dpdk_table():
    try:
        from tickgate.drivers import _dpdk
    except ImportError as error:
        if error.name == "tickgate.drivers._dpdk" or "_dpdk" in str(error):
            why = "this installation has no DPDK backend"
        else:
            why = f"DPDK's libraries do not load ({error})"
        raise errors.UnsupportedError(
            f"{why}\ninstall Debian's dpdk and libdpdk-dev, and build again: make setup"
        ) from None
    return _dpdk.ops()


cdef class Port:
    """See `tickgate.drivers.port`."""

    def __cinit__(self):
        self.fallbacks = []

    def __init__(self):
        raise TypeError("ports are made by Port.open")

    @staticmethod
    def open(
        name="", queue=0, backend="auto", *, ring=1024, frame_bytes=2048, wait_ms=0, huge_pages=False, stamps=False,
        zero_copy=None, promiscuous=False, busy_poll_us=0, side="a", fd=-1, local=None, remote=None,
    ):
        """Open a port; see `tickgate.drivers.port` for the parameters and errors."""
        cdef Port port = Port.__new__(Port)
        if backend == "auto":
            # The fastest that the rights and the kernel allow; why the faster ones did not do stays readable.
            for candidate in ("xdp", "packet"):
                try:
                    opened = Port.open(
                        name, queue, candidate, ring=ring, frame_bytes=frame_bytes, wait_ms=wait_ms,
                        huge_pages=huge_pages and candidate == "xdp", stamps=stamps, promiscuous=promiscuous,
                        busy_poll_us=busy_poll_us,
                    )
                except (errors.MissingRightError, errors.UnsupportedError, errors.LimitError) as error:
                    port.fallbacks.append(error)
                else:
                    (<Port>opened).fallbacks = port.fallbacks
                    return opened
            raise port.fallbacks[0]
        if backend not in BACKENDS:
            raise ValueError(f"backend must be auto, {', '.join(BACKENDS)}, not {backend!r}")
        table = _dpdk_table() if backend == "dpdk" else None
        _power_of_two(ring, 8, 32768, "ring")
        _power_of_two(frame_bytes, 256, 65536, "frame_bytes")
        if backend.startswith("xdp") and frame_bytes not in (2048, 4096):
            raise ValueError(f"frame_bytes must be 2048 or 4096 for xdp, not {frame_bytes}")
        if side not in ("a", "b"):
            raise ValueError(f"side must be 'a' (makes the segment) or 'b' (joins it), not {side!r}")
        if not 0 <= wait_ms <= 3_600_000:
            raise ValueError(f"wait_ms must be from 0 to 3,600,000, not {wait_ms}")
        cdef tg_config config
        cdef tg_fault fault
        cdef tg_port *opened_port = NULL
        name_bytes, backend_bytes = os.fsencode(name), backend.encode()
        config.name, config.backend = name_bytes, backend_bytes
        config.queue, config.ring, config.frame_bytes = queue, ring, frame_bytes
        config.wait_ms, config.busy_poll_us, config.fd = wait_ms, busy_poll_us, fd
        config.local_ip, config.local_port = _address(local, "local")
        config.remote_ip, config.remote_port = _address(remote, "remote")
        config.flags = (
            (TG_HUGE_PAGES if huge_pages else 0)
            | (TG_STAMPS if stamps else 0)
            | (TG_COPY if zero_copy is False else TG_ZERO_COPY if zero_copy else 0)
            | (TG_SIDE_B if side == "b" else 0)
            | (TG_PROMISCUOUS if promiscuous else 0)
        )
        cdef const tg_ops *ops
        if table is not None:
            ops = <const tg_ops *>PyCapsule_GetPointer(table, "tickgate.drivers.ops")
        else:
            ops = tg_backend(config.backend)
        cdef int result
        port.backend = backend
        port.frames = <tg_frame *>calloc(TG_BURST_MAX, sizeof(tg_frame))
        if port.frames == NULL:
            raise MemoryError()
        with nogil:
            result = tg_port_open(ops, &config, &opened_port, &fault)
        if result < 0:
            raise errors.from_fault(backend, name, queue, fault.step.decode(), fault.error, fault.detail)
        port.c = opened_port
        port.wait_ns = wait_ms * 1_000_000
        port.later = <uint32_t *>calloc(port.c.slots, sizeof(uint32_t))
        if port.later == NULL:
            port.close()
            raise MemoryError()
        return port

    @staticmethod
    def pair(*, ring=1024, frame_bytes=2048, wait_ms=0):
        """Two ports that are joined by shared memory without a name: for two threads, or a model in the process."""
        fd = os.memfd_create("tickgate", os.MFD_CLOEXEC)
        try:
            a = Port.open(backend="shm", fd=fd, side="a", ring=ring, frame_bytes=frame_bytes, wait_ms=wait_ms)
            return a, Port.open(backend="shm", fd=fd, side="b", wait_ms=wait_ms)
        finally:
            os.close(fd)

    @staticmethod
    def segment_path(name):
        """The file of a segment of shm."""
        return (<bytes>TG_SHM_PATH).decode() % name

    def __dealloc__(self):
        # No view can be left: each holds its port.
        if self.c != NULL:
            tg_port_close(self.c)
        free(self.frames)
        free(self.later)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Close the port; its frames are gone, whoever has them. Closing twice is no error.

        Raises BufferError while a buffer of a frame is in use.
        """
        if self.c == NULL:
            return
        if self.running:
            raise RuntimeError("another thread is in a call of this port")
        if self.exports:
            raise BufferError(f"{self.exports} buffers of frames of this port are in use")
        cdef tg_port *c = self.c
        self.c = NULL
        with nogil:
            tg_port_close(c)

    cdef int enter(self) except -1:
        cdef unsigned int i
        cdef tg_frame frame
        if self.c == NULL:
            raise errors.ClosedError("this port is closed")
        if self.running:
            raise RuntimeError("a port belongs to one thread at a time: another one is in a call of it")
        for i in range(self.later_count):
            frame.slot = self.later[i]
            tg_release(self.c, &frame, 1)
        self.later_count = 0
        return 0

    cdef object failed(self, int result):
        cdef tg_fault *fault = &self.c.fault
        return errors.from_fault(
            self.backend, self.name, self.c.queue, fault.step.decode(), -result, fault.detail, self.c.max_frame
        )

    cdef int forget(self, Frame frame) except -1:
        """The checks before a frame leaves the user."""
        if frame.port is not self:
            raise errors.OwnershipError("this frame is of another port: copy it into one of this port (alloc, write)")
        frame.check()
        if frame.exports:
            raise BufferError("a buffer of this frame is in use: release it first")
        return 0

    cdef int receive(self, unsigned int n) except -1:
        """Up to n frames into self.frames. The C side waits in slices, so that signal handlers run between them."""
        cdef int got
        cdef uint64_t end = 0
        if self.wait_ns and n:
            end = tg_clock_raw_ns() + self.wait_ns
        while True:
            self.running = 1
            with nogil:
                got = tg_recv_burst(self.c, self.frames, n)
            self.running = 0
            if got > 0 or (got == 0 and end == 0):
                return got
            if got < 0 and got != -EINTR:
                raise self.failed(got)
            PyErr_CheckSignals()
            if tg_clock_raw_ns() >= end:
                return 0

    cdef list views(self, int n):
        cdef list made = []
        cdef Frame frame
        cdef int i
        for i in range(n):
            frame = Frame.__new__(Frame)
            frame.port = self
            frame.c = self.frames[i]
            frame.state = self.c.states[frame.c.slot]
            frame.exports = 0
            made.append(frame)
        return made

    def recv_burst(self, unsigned int n=32):
        """Up to ``n`` (at most 256) received frames as a list of `Frame`, empty where there are none.

        With ``wait_ms`` it waits so long for the first one, unless a signal handler raises an exception.
        """
        self.enter()
        return self.views(self.receive(n))

    def recv_into(self, array, lengths, stamps=None):
        """Copy received frames into the rows of ``array`` (two-dimensional, bytes) and their lengths into ``lengths``
        (32-bit unsigned), their stamps into ``stamps`` (64-bit unsigned); return how many. Nothing is allocated.

        As many as all have rows for, at most 256. Of a frame longer than a row only its begin is stored: its length
        is told in full.
        """
        cdef Py_buffer rows, sizes, times
        cdef unsigned int n
        cdef int got, i
        cdef size_t width
        cdef uint32_t length
        self.enter()
        times.buf = NULL
        PyObject_GetBuffer(array, &rows, PyBUF_ND | PyBUF_WRITABLE)
        try:
            PyObject_GetBuffer(lengths, &sizes, PyBUF_ND | PyBUF_WRITABLE)
            try:
                if rows.ndim != 2 or rows.itemsize != 1:
                    raise ValueError("array must be two-dimensional and of bytes (numpy.uint8)")
                if sizes.ndim != 1 or sizes.itemsize != 4:
                    raise ValueError("lengths must be one-dimensional and of 32 bits (numpy.uint32)")
                n = <unsigned int>min(rows.shape[0], sizes.shape[0], <Py_ssize_t>TG_BURST_MAX)
                width = <size_t>rows.shape[1]
                if stamps is not None:
                    PyObject_GetBuffer(stamps, &times, PyBUF_ND | PyBUF_WRITABLE)
                    if times.ndim != 1 or times.itemsize != 8:
                        raise ValueError("stamps must be one-dimensional and of 64 bits (numpy.uint64)")
                    n = <unsigned int>min(<Py_ssize_t>n, times.shape[0])
                got = self.receive(n)
                for i in range(got):
                    length = self.frames[i].len
                    (<uint32_t *>sizes.buf)[i] = length
                    if times.buf != NULL:
                        (<uint64_t *>times.buf)[i] = self.frames[i].stamp
                    memcpy(<uint8_t *>rows.buf + <size_t>i * width, self.frames[i].data, min(<size_t>length, width))
                tg_release(self.c, self.frames, <unsigned int>got)
            finally:
                if times.buf != NULL:
                    PyBuffer_Release(&times)
                PyBuffer_Release(&sizes)
        finally:
            PyBuffer_Release(&rows)
        return got

    def alloc(self, unsigned int n=1, length=None):
        """Up to ``n`` (at most 256) frames to write and send, fewer where the port has no more; each of ``length``
        bytes, by default as long as may be sent. What they hold is undefined."""
        cdef int got, i
        cdef uint32_t wanted
        self.enter()
        wanted = self.c.max_frame if length is None else length
        if wanted > self.c.room:
            raise errors.FrameSizeError(f"a slot has room for {self.c.room} bytes, not {wanted}")
        got = tg_alloc(self.c, self.frames, n)
        if got < 0:
            raise self.failed(got)
        for i in range(got):
            self.frames[i].len = wanted
        return self.views(got)

    def send_burst(self, frames):
        """Send frames of this port (allocated or received); return how many, from the first on, were accepted.

        Accepted frames are gone; the others stay the user's. Without frames it pushes on what waits for the kernel.
        """
        cdef int sent
        cdef unsigned int n = 0
        cdef Frame frame
        self.enter()
        for frame in frames:
            if n == TG_BURST_MAX:
                break
            self.forget(frame)
            self.frames[n] = frame.c
            n += 1
        self.running = 1
        with nogil:
            sent = tg_send_burst(self.c, self.frames, n)
        self.running = 0
        if sent < 0:
            raise self.failed(sent)
        return sent

    def send_from(self, array, lengths):
        """Send the rows of ``array`` (as in `recv_into`) in their ``lengths``; return how many were accepted."""
        cdef Py_buffer rows, sizes
        cdef unsigned int n
        cdef int got, i, sent = 0
        cdef size_t width
        cdef uint32_t length
        cdef bint fits = True
        self.enter()
        PyObject_GetBuffer(array, &rows, PyBUF_ND)
        try:
            PyObject_GetBuffer(lengths, &sizes, PyBUF_ND)
            try:
                if rows.ndim != 2 or rows.itemsize != 1:
                    raise ValueError("array must be two-dimensional and of bytes (numpy.uint8)")
                if sizes.ndim != 1 or sizes.itemsize != 4:
                    raise ValueError("lengths must be one-dimensional and of 32 bits (numpy.uint32)")
                n = <unsigned int>min(rows.shape[0], sizes.shape[0], <Py_ssize_t>TG_BURST_MAX)
                width = <size_t>rows.shape[1]
                self.running = 1
                with nogil:
                    for i in range(<int>n):
                        if (<uint32_t *>sizes.buf)[i] > min(width, <size_t>self.c.room):
                            fits = False
                            break
                    if fits:
                        got = tg_alloc(self.c, self.frames, n)
                        if got > 0:
                            for i in range(got):
                                length = (<uint32_t *>sizes.buf)[i]
                                memcpy(self.frames[i].data, <uint8_t *>rows.buf + <size_t>i * width, length)
                                self.frames[i].len = length
                            sent = tg_send_burst(self.c, self.frames, <unsigned int>got)
                            tg_release(self.c, self.frames + max(sent, 0), <unsigned int>(got - max(sent, 0)))
                        else:
                            sent = got
                self.running = 0
            finally:
                PyBuffer_Release(&sizes)
        finally:
            PyBuffer_Release(&rows)
        if not fits:
            raise errors.FrameSizeError(
                f"a length is more than a row ({width} bytes) or a slot of the port ({self.c.room} bytes) holds"
            )
        if sent < 0:
            raise self.failed(sent)
        return sent

    def send(self, data):
        """Copy ``data`` into a frame and send it; False where there is no room now."""
        cdef Frame frame
        cdef list made = self.alloc(1, 0)
        if not made:
            return False
        frame = made[0]
        frame.write(data)
        return self.send_burst(made) == 1

    def check(self):
        """Raise what keeps the port from working now: `LinkDownError`, `InterfaceGoneError`, `PeerGoneError`."""
        cdef int result
        self.enter()
        with nogil:
            result = tg_check(self.c)
        if result < 0:
            raise self.failed(result)

    def stats(self):
        """What was counted since the port was opened, as `PortStats`."""
        cdef tg_stats stats
        self.enter()
        self.c.ops.stats(self.c, &stats)
        return PortStats(**stats)

    def owners(self):
        """How many slots each owner has; their sum never changes."""
        cdef uint32_t i
        cdef int[8] counts = [0, 0, 0, 0, 0, 0, 0, 0]
        self.enter()
        for i in range(self.c.slots):
            counts[self.c.states[i] & 7] += 1
        names = {TG_COMPLETION: "completion", TG_USER: "user", TG_FILL: "fill", TG_RX: "rx", TG_TX: "tx"}
        return {name: counts[owner] for owner, name in names.items()}

    def fileno(self):
        """A descriptor that select and poll take; -1 for shm and dpdk, which have none."""
        self.enter()
        return -1 if self.backend in ("shm", "dpdk") else self.c.fd

    @property
    def closed(self):
        """Whether the port is closed."""
        return self.c == NULL

    @property
    def name(self):
        """Name of the interface, as last seen, or of the segment."""
        return "" if self.c == NULL else os.fsdecode(self.c.name)

    @property
    def mode(self):
        """What the backend really got: "generic, copy", "native, copy", "TPACKET_V2", "spinning", "side a"."""
        return "" if self.c == NULL else self.c.mode.decode()

    @property
    def queue(self):
        """Number of the queue."""
        return 0 if self.c == NULL else self.c.queue

    @property
    def slots(self):
        """Number of slots."""
        return 0 if self.c == NULL else self.c.slots

    @property
    def room(self):
        """Longest frame in bytes that a slot holds."""
        return 0 if self.c == NULL else self.c.room

    @property
    def max_frame(self):
        """Longest frame in bytes that may be sent (a VLAN tag may come on top)."""
        return 0 if self.c == NULL else self.c.max_frame

    @property
    def stamp_clock(self):
        """Clock of the stamps: monotonic (CLOCK_MONOTONIC), realtime, sender, or none."""
        return "none" if self.c == NULL else self.c.stamp_clock.decode()
