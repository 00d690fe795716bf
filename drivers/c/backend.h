/* What the backends share: slot states, faults, the network interface. Not for users of a port. */
#ifndef TICKGATE_BACKEND_H
#define TICKGATE_BACKEND_H

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "port.h"

#define TG_LIKELY(x) __builtin_expect(!!(x), 1)
#define TG_UNLIKELY(x) __builtin_expect(!!(x), 0)
#ifdef TG_PLANT_RACE /* a test shows that ThreadSanitizer would find a missing order */
#define TG_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define TG_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#else
#define TG_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define TG_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#endif
#define TG_RELAXED(p) __atomic_load_n((p), __ATOMIC_RELAXED)

extern const tg_ops tg_shm_ops, tg_udp_ops, tg_packet_ops, tg_xdp_ops;

/* Record what failed; returns -error. */
static inline int tg_fail(tg_port *port, int error, const char *step, uint64_t detail) {
    port->fault = (tg_fault){error, step, detail};
    return -error;
}

static inline int tg_owner(const tg_port *port, uint32_t slot) { return (int)(port->states[slot] & 7u); }

/* Slot leaves `from` for `to`; refused where it is not there. Leaving the user starts a new generation. */
static inline int tg_own(tg_port *port, uint32_t slot, unsigned from, unsigned to) {
    if (TG_UNLIKELY(slot >= port->slots || (port->states[slot] & 7u) != from))
        return tg_fail(port, EINVAL, "ownership", slot);
    uint32_t generation = port->states[slot] & ~7u;
    port->states[slot] = (generation + (from == TG_USER ? 8u : 0u)) | to;
    return 0;
}

/* A frame that exceeds the MTU by its 802.1Q tag alone may be sent (AF_PACKET refuses it for other tags). */
static inline int tg_is_tagged(const tg_port *port, const tg_frame *frame) {
    return frame->len > port->max_frame && frame->len <= port->max_frame + 4u && frame->len <= port->room &&
           port->ifindex != 0 && frame->data[12] == 0x81 && frame->data[13] == 0x00;
}

/* Whether a frame may be sent: the user's, and of a length that the link takes. */
static inline int tg_sendable(tg_port *port, const tg_frame *frame) {
    if (TG_UNLIKELY(frame->slot >= port->slots || (port->states[frame->slot] & 7u) != TG_USER))
        return tg_fail(port, EINVAL, "ownership", frame->slot);
    if (TG_UNLIKELY(frame->len < port->min_frame || frame->len > port->max_frame) && !tg_is_tagged(port, frame)) {
        port->counted.tx_invalid++;
        return tg_fail(port, EMSGSIZE, "length", frame->len);
    }
    return 0;
}

static inline void tg_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static inline uint64_t tg_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* Wait for a descriptor: 1 readable, 0 time is up, -errno (EINTR included). */
int tg_poll_in(int fd, uint32_t wait_ms);

/* Find the interface that is called `name` now. */
int tg_link_find(tg_port *port, const char *name);
/* 0, -ENETDOWN or -ENODEV; follows a new name and a new MTU. */
int tg_link_check(tg_port *port);
/* Name of the driver behind the interface ("veth", "tun"); empty where it does not tell. */
void tg_link_driver(const tg_port *port, char *driver, size_t size);
/* Frames to other addresses too, until the socket is closed. */
int tg_link_promiscuous(tg_port *port, int packet_fd);

int tg_states_new(tg_port *port, uint32_t slots);

#endif
