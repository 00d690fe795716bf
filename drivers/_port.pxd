# cython: language_level=3
"""Ports for other Cython modules: ``cimport tickgate.drivers._port``; see c/port.h for the contract of the functions.

The functions go through the port's table: whoever cimports them needs the headers (`tickgate.drivers.get_include()`),
and links nothing.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "port.h" nogil:
    const unsigned int TG_FRAME_MIN
    const unsigned int TG_BURST_MAX
    const int TG_COMPLETION
    const int TG_USER
    const int TG_FILL
    const int TG_RX
    const int TG_TX
    const unsigned int TG_HUGE_PAGES
    const unsigned int TG_STAMPS
    const unsigned int TG_COPY
    const unsigned int TG_ZERO_COPY
    const unsigned int TG_SIDE_B
    const unsigned int TG_PROMISCUOUS

    ctypedef struct tg_frame:
        uint8_t *data
        uint32_t len
        uint32_t slot
        uint64_t stamp

    ctypedef struct tg_stats:
        uint64_t rx_frames
        uint64_t rx_bytes
        uint64_t rx_dropped
        uint64_t rx_oversize
        uint64_t rx_invalid
        uint64_t tx_frames
        uint64_t tx_bytes
        uint64_t tx_dropped
        uint64_t tx_full
        uint64_t tx_invalid
        uint64_t tx_kicks
        uint64_t link_downs

    ctypedef struct tg_fault:
        int error
        const char *step
        uint64_t detail

    ctypedef struct tg_config:
        const char *backend
        const char *name
        uint32_t queue
        uint32_t ring
        uint32_t frame_bytes
        uint32_t wait_ms
        uint32_t busy_poll_us
        uint32_t flags
        int fd
        uint32_t local_ip
        uint32_t remote_ip
        uint16_t local_port
        uint16_t remote_port

    ctypedef struct tg_port

    ctypedef struct tg_ops:
        const char *name
        void (*stats)(tg_port *port, tg_stats *stats)

    ctypedef struct tg_port:
        const tg_ops *ops
        uint32_t *states
        uint32_t slots
        uint32_t room
        uint32_t max_frame
        uint32_t min_frame
        uint32_t wait_ms
        int fd
        int ifindex
        uint32_t queue
        char *name
        char *mode
        const char *stamp_clock
        tg_stats counted
        tg_fault fault

    int tg_recv_burst(tg_port *port, tg_frame *frames, unsigned int n)
    int tg_alloc(tg_port *port, tg_frame *frames, unsigned int n)
    int tg_send_burst(tg_port *port, const tg_frame *frames, unsigned int n)
    int tg_release(tg_port *port, const tg_frame *frames, unsigned int n)
    int tg_reclaim(tg_port *port)
    int tg_check(tg_port *port)


cdef class Port:
    cdef tg_port *c  # NULL once closed; for one thread at a time
    cdef tg_frame *frames  # TG_BURST_MAX of them, for the methods that Python calls
    cdef uint32_t *later  # slots of views that were collected while a call was under way
    cdef unsigned int later_count
    cdef int running
    cdef Py_ssize_t exports
    cdef uint64_t wait_ns
    cdef readonly str backend
    cdef readonly list fallbacks
    cdef int enter(self) except -1
    cdef object failed(self, int result)
    cdef int receive(self, unsigned int n) except -1
    cdef int forget(self, Frame frame) except -1
    cdef list views(self, int n)


cdef class Frame:
    cdef Port port
    cdef tg_frame c
    cdef uint32_t state  # of the slot, as it was when the view was made
    cdef Py_ssize_t exports
    cdef int check(self) except -1
