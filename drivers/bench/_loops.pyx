# cython: language_level=3
"""The loops of the benchmark for Python, and the loop of round trips once more in Cython; see loops.h."""
from libc.errno cimport EAGAIN, EINTR, ETIMEDOUT
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from tickgate.drivers._clock cimport Clock, tg_clock, tg_clock_ns
from tickgate.drivers._histogram cimport Histogram, tg_histogram, tg_histogram_record
from tickgate.drivers._port cimport (
    Port, tg_alloc, tg_frame, tg_port, tg_recv_burst, tg_release, tg_send_burst
)

cdef extern from "loops.h" nogil:
    const unsigned int TG_BENCH_UDP_HEADERS
    const unsigned int TG_BENCH_MIN
    const unsigned int TG_BENCH_MAX
    const int TG_BENCH_TAG_SHIFT
    const unsigned int TG_BENCH_LOST_MAX

    ctypedef struct tg_bench_count:
        uint64_t sent
        uint64_t received
        uint64_t lost
        uint64_t foreign
        uint64_t first_ns
        uint64_t last_ns
        int error

    uint32_t tg_bench_look(const tg_port *port)
    void tg_bench_fill(uint8_t *data, const uint8_t *head, uint64_t word)
    uint64_t tg_bench_word(const uint8_t *data, uint32_t len)
    void tg_bench_ping(
        tg_port *port, const tg_clock *clock, tg_histogram *times, const uint8_t *head, uint64_t tag, uint64_t trips,
        uint32_t size, uint64_t patience_ns, uint64_t limit_ns, tg_bench_count *count)
    void tg_bench_echo(tg_port *port, const uint32_t *stop, tg_bench_count *count)
    void tg_bench_flood(
        tg_port *port, const tg_clock *clock, const uint8_t *head, uint64_t tag, uint32_t size, uint64_t duration_ns,
        tg_bench_count *count)
    void tg_bench_sink(
        tg_port *port, const tg_clock *clock, uint64_t tag, const uint32_t *stop, tg_bench_count *count)
    void tg_bench_echo_fd(int fd, const uint32_t *stop, tg_bench_count *count)
    void tg_bench_sink_fd(
        int fd, const tg_clock *clock, uint64_t tag, uint32_t over, const uint32_t *stop, tg_bench_count *count)
    void tg_bench_bounce_back(uint64_t *line, const uint32_t *stop)
    uint64_t tg_bench_bounce(uint64_t *line, const tg_clock *clock, uint64_t trips, uint64_t limit_ns)

MIN_BYTES = TG_BENCH_MIN
MAX_BYTES = TG_BENCH_MAX


# The same as in loops.h, line by line: the difference is what Cython costs.

cdef int send_all(tg_port *port, const tg_frame *frames, unsigned int n) noexcept nogil:
    cdef unsigned int done = 0
    cdef uint32_t tries = 0
    cdef int sent
    while done < n and tries < 1000000:
        sent = tg_send_burst(port, frames + done, n - done)
        if sent < 0 and sent != -EINTR and sent != -EAGAIN:
            tg_release(port, frames + done, n - done)
            return sent
        if sent > 0:
            done += <unsigned int>sent
        tries += 1
    if done < n:
        tg_release(port, frames + done, n - done)
    return <int>done


cdef int send_one(tg_port *port, const uint8_t *head, uint64_t word, uint32_t size) noexcept nogil:
    cdef tg_frame frame
    cdef int got = 0
    cdef uint32_t tries = 0
    while got == 0 and tries < 1000000:
        got = tg_alloc(port, &frame, 1)
        if got == 0:
            tg_send_burst(port, &frame, 0)
        tries += 1
    if got <= 0:
        return got
    tg_bench_fill(frame.data, head, word)
    frame.len = size
    return send_all(port, &frame, 1)


cdef int await_word(
    tg_port *port, const tg_clock *clock, uint64_t word, uint64_t until_ns, uint64_t *now, tg_bench_count *count
) noexcept nogil:
    cdef tg_frame[8] frames
    cdef uint32_t look = tg_bench_look(port), spins = 0
    cdef int got, found, i
    while True:
        got = tg_recv_burst(port, frames, 8)
        found = 0
        if got < 0 and got != -EINTR and got != -EAGAIN:
            return got
        if got > 0:
            now[0] = tg_clock_ns(clock)
            for i in range(got):
                found |= tg_bench_word(frames[i].data, frames[i].len) == word
            count.foreign += <uint64_t>(got - found)
            tg_release(port, frames, <unsigned int>got)
            if found:
                return 1
        if (spins & look) == look or got > 0:
            now[0] = tg_clock_ns(clock)
            if now[0] > until_ns:
                return 0
        spins += 1


cdef void ping_loop(
    tg_port *port, const tg_clock *clock, tg_histogram *times, const uint8_t *head, uint64_t tag, uint64_t trips,
    uint32_t size, uint64_t patience_ns, uint64_t limit_ns, tg_bench_count *count
) noexcept nogil:
    cdef uint64_t end = tg_clock_ns(clock) + limit_ns, start, now = 0, i = 1, word
    cdef uint32_t silent = 0
    cdef int result
    while i <= trips and now < end:
        word = tag << TG_BENCH_TAG_SHIFT | i
        start = tg_clock_ns(clock)
        result = send_one(port, head, word, size)
        if result > 0:
            count.sent += 1
            result = await_word(port, clock, word, start + patience_ns, &now, count)
        else:
            now = tg_clock_ns(clock)
        if result < 0:
            count.error = result
            return
        if result > 0:
            tg_histogram_record(times, now - start)
            count.received += 1
            silent = 0
        else:
            count.lost += 1
            silent += 1
            if silent == TG_BENCH_LOST_MAX:
                count.error = -ETIMEDOUT
                return
        i += 1


cdef class Loop:
    """One run of one loop, in the thread that calls it; another thread may `stop` an echo or a sink.

    Parameters: ``clock``; ``tag`` (1 to 2**24 - 1), of the frames that count. What was counted is in the members.
    """

    # What a loop writes is on no cache line of the loop at the other end, which the allocator may have put beside it.
    cdef uint8_t[128] before
    cdef tg_bench_count count
    cdef uint32_t stopped
    cdef uint64_t tag
    cdef Clock clock
    cdef uint8_t[128] behind

    def __init__(self, Clock clock not None, uint64_t tag):
        if not 1 <= tag < 1 << 24:
            raise ValueError(f"tag must be from 1 to {(1 << 24) - 1}, not {tag}")
        memset(&self.count, 0, sizeof(self.count))
        self.clock, self.tag, self.stopped = clock, tag, 0

    def stop(self):
        """End an echo or a sink that another thread is in: at once, or after the wait of a port that waits."""
        self.stopped = 1

    def ping(
        self, Port port not None, Histogram times not None, bytes head not None, uint64_t trips, uint32_t size,
        uint64_t patience_ns, uint64_t limit_ns, bint cython=False,
    ):
        """Round trips of ``size`` bytes, their times in ns into ``times``; ``cython``: by the loop in Cython."""
        cdef const uint8_t *start = self.checked(port, head, size)
        port.running = 1
        with nogil:
            if cython:
                ping_loop(port.c, &self.clock.c, &times.c, start, self.tag, trips, size, patience_ns, limit_ns,
                          &self.count)
            else:
                tg_bench_ping(port.c, &self.clock.c, &times.c, start, self.tag, trips, size, patience_ns, limit_ns,
                              &self.count)
        port.running = 0

    def flood(self, Port port not None, bytes head not None, uint32_t size, uint64_t duration_ns):
        """Frames of ``size`` bytes for ``duration_ns``, as fast as they go."""
        cdef const uint8_t *start = self.checked(port, head, size)
        port.running = 1
        with nogil:
            tg_bench_flood(port.c, &self.clock.c, start, self.tag, size, duration_ns, &self.count)
        port.running = 0

    def echo(self, Port port not None):
        """Send back what comes, until `stop`."""
        port.enter()
        port.running = 1
        with nogil:
            tg_bench_echo(port.c, &self.stopped, &self.count)
        port.running = 0

    def sink(self, Port port not None):
        """Count what comes, until `stop`."""
        port.enter()
        port.running = 1
        with nogil:
            tg_bench_sink(port.c, &self.clock.c, self.tag, &self.stopped, &self.count)
        port.running = 0

    def echo_fd(self, int fd):
        """As `echo`, at the descriptor of a TAP."""
        with nogil:
            tg_bench_echo_fd(fd, &self.stopped, &self.count)

    def sink_fd(self, int fd, uint32_t over=0):
        """As `sink`, at the descriptor of a TAP, where ``over`` bytes of headers are in front of a frame of the port."""
        if over > TG_BENCH_UDP_HEADERS:
            raise ValueError(f"over must be at most {TG_BENCH_UDP_HEADERS}, not {over}")
        with nogil:
            tg_bench_sink_fd(fd, &self.clock.c, self.tag, over, &self.stopped, &self.count)

    cdef const uint8_t *checked(self, Port port, bytes head, uint32_t size) except NULL:
        port.enter()
        if len(head) != 14:
            raise ValueError(f"head must be an Ethernet header of 14 bytes, not {len(head)}")
        if not TG_BENCH_MIN <= size <= min(<uint32_t>TG_BENCH_MAX, port.c.room):
            raise ValueError(f"size must be from {TG_BENCH_MIN} to {min(<uint32_t>TG_BENCH_MAX, port.c.room)}, not {size}")
        return <const uint8_t *><const char *>head

    @property
    def sent(self):
        """Frames that the port accepted."""
        return self.count.sent

    @property
    def received(self):
        """Frames of this measurement that came (of an echo: all)."""
        return self.count.received

    @property
    def lost(self):
        """Round trips without an answer in time."""
        return self.count.lost

    @property
    def foreign(self):
        """Frames that came and were not of this measurement."""
        return self.count.foreign

    @property
    def error(self):
        """0, or the errno that ended the loop (ETIMEDOUT: nobody answers)."""
        return -self.count.error

    def rate_since(self, Loop flood not None):
        """Frames a second that came to this sink, from the begin of the flood to the last of them; 0.0 of none."""
        if not self.count.received or self.count.last_ns <= flood.count.first_ns:
            return 0.0
        return self.count.received * 1e9 / (self.count.last_ns - flood.count.first_ns)


cdef class CacheLine:
    """A cache line that two threads pass to and fro, nothing else: the floor of every path between two CPUs."""

    cdef uint64_t[32] room
    cdef uint32_t stopped
    cdef Clock clock

    def __init__(self, Clock clock not None):
        memset(self.room, 0, sizeof(self.room))
        self.clock, self.stopped = clock, 0

    cdef uint64_t *line(self) noexcept:
        return <uint64_t *>((<size_t>&self.room[8] + 127) & ~<size_t>127)

    def answer(self):
        """Send it back, until `stop`."""
        cdef uint64_t *line = self.line()
        with nogil:
            tg_bench_bounce_back(line, &self.stopped)

    def stop(self):
        """End `answer`, which another thread is in."""
        self.stopped = 1

    def bounce(self, uint64_t trips, uint64_t limit_ns):
        """Send it ``trips`` times; the mean time of a trip in ns, None where they were not done in ``limit_ns``."""
        cdef uint64_t *line = self.line()
        cdef uint64_t start, end, done
        with nogil:
            start = tg_clock_ns(&self.clock.c)
            done = tg_bench_bounce(line, &self.clock.c, trips, limit_ns)
            end = tg_clock_ns(&self.clock.c)
        return (end - start) / trips if done == trips and trips else None
