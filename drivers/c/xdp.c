/* `xdp`: AF_XDP by raw system calls (the kernel's Documentation/networking/af_xdp.rst).
 *
 * One UMEM a port; every slot may be received into or sent from, so that a received frame is sent without a copy.
 * Frames reach the socket through the program of xdp_program.c.
 */
#include "xdp_program.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif
#define HEAD_ROOM 256u /* XDP_PACKET_HEADROOM: the kernel keeps it in front of every received frame */

typedef struct {
    uint32_t *producer, *consumer, *flags;
    void *entries;
    void *map;
    size_t bytes;
    uint32_t mask, next, known; /* next: our count; known: the other side's, as last read */
} ring;

typedef struct {
    tg_port base;
    uint8_t *umem;
    size_t umem_bytes;
    ring rx, tx, fill, completion;
    uint32_t shift;
    uint32_t *free;
    uint32_t free_count;
    uint32_t taken;      /* count of received slots, and so of entries of the fill ring that the kernel has used */
    uint32_t lent, lend; /* slots in the fill ring or received, and how many it should be */
    uint32_t stamps, zero_copy;
    int pending; /* error of a kick after frames were accepted */
    tg_xdp_program *program;
    int promiscuous_fd;
} xdp_port;

static int map_ring(tg_port *port, ring *r, const struct xdp_ring_offset *at, uint64_t page,
                    uint32_t entries, size_t entry_bytes) {
    r->bytes = at->desc + entries * entry_bytes;
    void *map = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, port->fd, (off_t)page);
    if (map == MAP_FAILED)
        return tg_fail(port, errno, "map", r->bytes);
    r->map = map;
    r->producer = (uint32_t *)((uint8_t *)map + at->producer);
    r->consumer = (uint32_t *)((uint8_t *)map + at->consumer);
    r->flags = (uint32_t *)((uint8_t *)map + at->flags);
    r->entries = (uint8_t *)map + at->desc;
    r->mask = entries - 1;
    return 0;
}

static int ring_size(tg_port *port, int option, uint32_t entries) {
    return setsockopt(port->fd, SOL_XDP, option, &entries, sizeof entries) < 0 ? tg_fail(port, errno, "ring", entries) : 0;
}

static int open_umem(xdp_port *x, const tg_config *c) {
    tg_port *port = &x->base;
    uint32_t slots = 2 * c->ring;
    x->umem_bytes = (size_t)slots * c->frame_bytes;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    if (c->flags & TG_HUGE_PAGES) {
        x->umem_bytes = (x->umem_bytes + (2u << 20) - 1) & ~(((size_t)2 << 20) - 1);
        flags |= MAP_HUGETLB | (21 << MAP_HUGE_SHIFT);
    }
    void *at = mmap(NULL, x->umem_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (at == MAP_FAILED) {
        size_t bytes = x->umem_bytes;
        x->umem_bytes = 0;
        return tg_fail(port, errno, c->flags & TG_HUGE_PAGES ? "huge pages" : "map", bytes);
    }
    x->umem = at;
    struct xdp_umem_reg reg = {.addr = (uint64_t)(uintptr_t)at, .len = (uint64_t)slots * c->frame_bytes,
                               .chunk_size = c->frame_bytes};
    if (setsockopt(port->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof reg) < 0)
        return tg_fail(port, errno, "umem", reg.len);
    /* Completion and fill have room for every slot: neither can overflow. */
    int result;
    if ((result = ring_size(port, XDP_UMEM_FILL_RING, slots)) < 0 ||
        (result = ring_size(port, XDP_UMEM_COMPLETION_RING, slots)) < 0 ||
        (result = ring_size(port, XDP_RX_RING, c->ring)) < 0 || (result = ring_size(port, XDP_TX_RING, c->ring)) < 0)
        return result;
    struct xdp_mmap_offsets at_of;
    socklen_t size = sizeof at_of;
    if (getsockopt(port->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at_of, &size) < 0)
        return tg_fail(port, errno, "ring", 0);
    if (size != sizeof at_of) /* kernels before 5.4 have no flags, so no need-wakeup */
        return tg_fail(port, EOPNOTSUPP, "ring", size);
    if ((result = map_ring(port, &x->fill, &at_of.fr, XDP_UMEM_PGOFF_FILL_RING, slots, 8)) < 0 ||
        (result = map_ring(port, &x->completion, &at_of.cr, XDP_UMEM_PGOFF_COMPLETION_RING, slots, 8)) < 0 ||
        (result = map_ring(port, &x->rx, &at_of.rx, XDP_PGOFF_RX_RING, c->ring, sizeof(struct xdp_desc))) < 0 ||
        (result = map_ring(port, &x->tx, &at_of.tx, XDP_PGOFF_TX_RING, c->ring, sizeof(struct xdp_desc))) < 0)
        return result;
    if ((result = tg_states_new(port, slots)) < 0)
        return result;
    x->free = calloc(slots, sizeof *x->free);
    if (x->free == NULL)
        return tg_fail(port, ENOMEM, "memory", slots);
    for (uint32_t i = 0; i < slots; i++)
        x->free[i] = slots - 1 - i;
    x->free_count = slots;
    x->shift = (uint32_t)__builtin_ctz(c->frame_bytes);
    x->lend = c->ring;
    port->room = c->frame_bytes - HEAD_ROOM;
    return 0;
}

static int bind_queue(xdp_port *x, const tg_config *c) {
    tg_port *port = &x->base;
    struct sockaddr_xdp to = {.sxdp_family = AF_XDP,
                              .sxdp_flags = XDP_USE_NEED_WAKEUP,
                              .sxdp_ifindex = (uint32_t)port->ifindex,
                              .sxdp_queue_id = c->queue};
    if (c->flags & TG_COPY)
        to.sxdp_flags |= XDP_COPY;
    if (c->flags & TG_ZERO_COPY)
        to.sxdp_flags |= XDP_ZEROCOPY;
    uint64_t until = tg_now_ms() + TG_XDP_RETRY_MS;
    while (bind(port->fd, (struct sockaddr *)&to, sizeof to) < 0) {
        if (errno != EBUSY || tg_now_ms() >= until)
            return tg_fail(port, errno, "bind", c->queue);
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    struct xdp_options options = {0};
    socklen_t size = sizeof options;
    if (getsockopt(port->fd, SOL_XDP, XDP_OPTIONS, &options, &size) < 0)
        return tg_fail(port, errno, "options", 0);
    x->zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
    return 0;
}

/* Native mode suits a TAP or a real device; on a veth the generic mode has the shorter way. */
static int attach_best(xdp_port *x, const char *backend) {
    char driver[32];
    if (!strcmp(backend, "xdp-skb"))
        return tg_xdp_find(&x->base, x->stamps, &x->program, XDP_FLAGS_SKB_MODE);
    if (!strcmp(backend, "xdp-drv"))
        return tg_xdp_find(&x->base, x->stamps, &x->program, XDP_FLAGS_DRV_MODE);
    tg_link_driver(&x->base, driver, sizeof driver);
    int veth = !strcmp(driver, "veth");
    uint32_t flags = veth && x->base.queue == 0 ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
    int result = tg_xdp_find(&x->base, x->stamps, &x->program, flags);
    if (result < 0 && !veth && (result == -EOPNOTSUPP || result == -EINVAL || result == -ERANGE || result == -ENOSPC))
        result = tg_xdp_find(&x->base, x->stamps, &x->program, XDP_FLAGS_SKB_MODE);
    return result;
}

/* Lend the kernel slots to receive into. Not on the way from a received frame to the one that is sent for it: another
 * core reads the fill ring, and the next locked instruction would wait for the line. So a receiver that finds nothing
 * lends, or one that has run a quarter of the ring behind. */
static void lend_slots(xdp_port *x) {
    ring *r = &x->fill;
    uint64_t *entries = r->entries;
    while (x->lent < x->lend && x->free_count) {
        uint32_t slot = x->free[--x->free_count];
        tg_own(&x->base, slot, TG_COMPLETION, TG_FILL);
        if (x->stamps) /* a time of receipt that nobody writes must not be an old one */
            memset(x->umem + ((size_t)slot << x->shift) + HEAD_ROOM - 8, 0, 8);
        entries[r->next++ & r->mask] = (uint64_t)slot << x->shift;
        x->lent++;
    }
    TG_RELEASE(r->producer, r->next);
}

static int busy_poll(tg_port *port, const tg_config *c) {
    int values[3] = {1, (int)c->busy_poll_us, 64};
    if (!c->busy_poll_us)
        return 0;
    if (setsockopt(port->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &values[0], sizeof(int)) < 0 ||
        setsockopt(port->fd, SOL_SOCKET, SO_BUSY_POLL, &values[1], sizeof(int)) < 0 ||
        setsockopt(port->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &values[2], sizeof(int)) < 0)
        return tg_fail(port, errno, "busy poll", c->busy_poll_us);
    return 0;
}

static int xdp_open_port(tg_port *port, const tg_config *c) {
    xdp_port *x = (xdp_port *)port;
    int result;
    x->promiscuous_fd = -1;
    x->stamps = !!(c->flags & TG_STAMPS);
    if ((result = tg_link_find(port, c->name)) < 0)
        return result;
    if (c->queue >= TG_XDP_QUEUES_MAX)
        return tg_fail(port, EINVAL, "queue", c->queue);
    port->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (port->fd < 0)
        return tg_fail(port, errno, "socket", 0);
    if ((result = open_umem(x, c)) < 0 || (result = attach_best(x, c->backend)) < 0)
        return result;
    if (c->queue != 0 && x->program->attach_flags == XDP_FLAGS_SKB_MODE)
        return tg_fail(port, EINVAL, "queue in generic mode", c->queue);
    lend_slots(x);
    if ((result = bind_queue(x, c)) < 0 || (result = tg_xdp_register(port, x->program)) < 0 ||
        (result = busy_poll(port, c)) < 0)
        return result;
    if (c->flags & TG_PROMISCUOUS) {
        x->promiscuous_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        if (x->promiscuous_fd < 0)
            return tg_fail(port, errno, "promiscuous", 0);
        if ((result = tg_link_promiscuous(port, x->promiscuous_fd)) < 0)
            return result;
    }
    if (x->stamps)
        port->stamp_clock = "monotonic";
    snprintf(port->mode, sizeof port->mode, "%s, %s",
             x->program->attach_flags == XDP_FLAGS_SKB_MODE ? "generic" : "native", x->zero_copy ? "zero-copy" : "copy");
    result = tg_link_check(port);
    return result == -ENETDOWN ? 0 : result;
}

/* While nothing is there: fetch the lines of the next descriptor and of the slot that will most likely be used (the
 * kernel takes slots in the order of the fill ring), so that they come at once with the news and not one by one. */
static inline void look_ahead(const xdp_port *x) {
    const uint64_t *entries = x->fill.entries;
    __builtin_prefetch(&((const struct xdp_desc *)x->rx.entries)[x->rx.next & x->rx.mask]);
    __builtin_prefetch(x->umem + entries[x->taken & x->fill.mask] + HEAD_ROOM);
}

static inline unsigned xdp_take(xdp_port *x, tg_frame *frames, unsigned n) {
    tg_port *port = &x->base;
    ring *r = &x->rx;
    unsigned got = 0;
    if (r->known - r->next < n)
        r->known = TG_ACQUIRE(r->producer);
    uint32_t there = r->known - r->next;
    n = n < there ? n : there;
    for (unsigned i = 0; i < n; i++) {
        const struct xdp_desc *d = &((const struct xdp_desc *)r->entries)[r->next++ & r->mask];
        uint32_t slot = (uint32_t)(d->addr >> x->shift);
        uint8_t *data = x->umem + d->addr;
        x->lent--;
        if (TG_UNLIKELY(tg_own(port, slot, TG_FILL, TG_USER) < 0)) {
            port->counted.rx_invalid++;
            continue;
        }
        uint64_t stamp = 0;
        if (x->stamps)
            memcpy(&stamp, data - 8, 8);
        frames[got++] = (tg_frame){data, d->len, slot, stamp};
        port->counted.rx_bytes += d->len;
    }
    if (n) {
        x->taken += n;
        TG_RELEASE(r->consumer, r->next);
    } else {
        look_ahead(x);
    }
    port->counted.rx_frames += got;
    return got;
}

static int xdp_reclaim(tg_port *port) {
    xdp_port *x = (xdp_port *)port;
    ring *r = &x->completion;
    uint32_t there = TG_ACQUIRE(r->producer);
    int got = 0;
    while (r->next != there) {
        uint32_t slot = (uint32_t)(((const uint64_t *)r->entries)[r->next++ & r->mask] >> x->shift);
        if (TG_LIKELY(tg_own(port, slot, TG_TX, TG_COMPLETION) == 0)) {
            x->free[x->free_count++] = slot;
            got++;
        }
    }
    if (got)
        TG_RELEASE(r->consumer, r->next);
    return got;
}

/* Let the kernel send what is in the ring. 0, or -errno that concerns the link. What the kernel has no room for now
 * stays in the ring for the next call. */
static int kick(xdp_port *x) {
    tg_port *port = &x->base;
    ring *r = &x->tx;
    if (x->zero_copy && !(TG_RELAXED(r->flags) & XDP_RING_NEED_WAKEUP))
        return 0;
    unsigned tries = (r->mask + 1) / 16 + 16;
    while (tries--) {
        port->counted.tx_kicks++;
        int error = sendto(port->fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) < 0 ? errno : 0;
        if (error == EBUSY) { /* "this frame was dropped" (NET_XMIT_DROP), and those behind it wait */
            port->counted.tx_dropped++;
        } else if (error != 0 && error != EAGAIN && error != ENOBUFS && error != EINTR) {
            return -error;
        }
        uint32_t before = r->known;
        r->known = TG_ACQUIRE(r->consumer);
        if (r->known == r->next)
            return 0;
        /* One call sends some 32 frames. Without progress the way ahead is full: give it time. */
        if (r->known == before && error != EBUSY && error != EINTR && xdp_reclaim(port) <= 0)
            return 0;
    }
    return 0;
}

static int xdp_check(tg_port *port) { return tg_link_check(port); }

/* Rare things that a receiver which finds nothing has time for. */
static int idle(xdp_port *x) {
    tg_port *port = &x->base;
    if (x->lent < x->lend && x->free_count)
        lend_slots(x);
    if (TG_RELAXED(x->fill.flags) & XDP_RING_NEED_WAKEUP)
        recvfrom(port->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
    if ((++port->idle & 255u) == 8) {
        xdp_reclaim(port);
        if (x->tx.next != TG_ACQUIRE(x->tx.consumer)) {
            int result = kick(x);
            if (result < 0)
                x->pending = -result;
        }
    }
    if (port->idle >= TG_IDLE_CHECK) {
        port->idle = 0;
        return xdp_check(port);
    }
    return 0;
}

static int xdp_recv_burst(tg_port *port, tg_frame *frames, unsigned n) {
    xdp_port *x = (xdp_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    unsigned got = xdp_take(x, frames, n);
    if (TG_LIKELY(got)) {
        if (TG_UNLIKELY(x->lent < x->lend - x->lend / 4))
            lend_slots(x);
        port->idle = 0;
        return (int)got;
    }
    if (!port->wait_ms || n == 0)
        return idle(x);
    xdp_reclaim(port);
    lend_slots(x);
    int ready = tg_poll_in(port->fd, port->wait_ms);
    if (ready < 0)
        return tg_fail(port, -ready, "wait", 0);
    got = xdp_take(x, frames, n);
    return got ? (int)got : xdp_check(port);
}

static int xdp_alloc(tg_port *port, tg_frame *frames, unsigned n) {
    xdp_port *x = (xdp_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    if (x->free_count < n)
        xdp_reclaim(port);
    unsigned i;
    for (i = 0; i < n && x->free_count; i++) {
        uint32_t slot = x->free[--x->free_count];
        tg_own(port, slot, TG_COMPLETION, TG_USER);
        frames[i] = (tg_frame){x->umem + ((size_t)slot << x->shift) + HEAD_ROOM, port->room, slot, 0};
    }
    if (i < n)
        port->counted.tx_full++;
    return (int)i;
}

static int xdp_release(tg_port *port, const tg_frame *frames, unsigned n) {
    xdp_port *x = (xdp_port *)port;
    for (unsigned i = 0; i < n; i++) {
        int result = tg_own(port, frames[i].slot, TG_USER, TG_COMPLETION);
        if (result < 0)
            return result;
        x->free[x->free_count++] = frames[i].slot;
    }
    return 0;
}

static int xdp_send_burst(tg_port *port, const tg_frame *frames, unsigned n) {
    xdp_port *x = (xdp_port *)port;
    ring *r = &x->tx;
    int result = 0;
    if (TG_UNLIKELY(x->pending)) {
        int again = kick(x);
        x->pending = 0;
        if (again < 0)
            return tg_fail(port, -again, "send", 0);
    }
    /* On a TAP another core writes the completion ring: with slots to spare it is read when nothing else is to do. */
    if (n == 0 || x->free_count < x->lend / 4)
        xdp_reclaim(port);
    unsigned i;
    for (i = 0; i < n; i++) {
        const tg_frame *f = &frames[i];
        if ((result = tg_sendable(port, f)) < 0)
            break;
        uint64_t address = (uint64_t)(f->data - x->umem);
        if (TG_UNLIKELY(address >> x->shift != f->slot || (address + f->len - 1) >> x->shift != f->slot)) {
            result = tg_fail(port, EINVAL, "ownership", f->slot);
            break;
        }
        if (TG_UNLIKELY(r->next - r->known > r->mask)) {
            r->known = TG_ACQUIRE(r->consumer);
            if (r->next - r->known > r->mask) {
                port->counted.tx_full++;
                break;
            }
        }
        tg_own(port, f->slot, TG_USER, TG_TX);
        ((struct xdp_desc *)r->entries)[r->next++ & r->mask] = (struct xdp_desc){.addr = address, .len = f->len};
        port->counted.tx_bytes += f->len;
    }
    port->counted.tx_frames += i;
    TG_RELEASE(r->producer, r->next);
    if (i || r->known != r->next) {
        int kicked = kick(x);
        if (TG_UNLIKELY(kicked < 0)) {
            if (i == 0)
                return tg_fail(port, -kicked, "send", 0);
            x->pending = -kicked;
        }
    }
    return i || result >= 0 ? (int)i : result;
}

static void xdp_stats(tg_port *port, tg_stats *stats) {
    struct xdp_statistics kernel = {0};
    socklen_t size = sizeof kernel;
    *stats = port->counted;
    if (port->fd >= 0 && getsockopt(port->fd, SOL_XDP, XDP_STATISTICS, &kernel, &size) == 0) {
        stats->rx_dropped += kernel.rx_dropped + kernel.rx_ring_full;
        stats->rx_invalid += kernel.rx_invalid_descs;
        stats->tx_dropped += kernel.tx_invalid_descs;
    }
}

static void unmap_ring(ring *r) {
    if (r->map)
        munmap(r->map, r->bytes);
}

static void xdp_close(tg_port *port) {
    xdp_port *x = (xdp_port *)port;
    if (x->program)
        tg_xdp_drop(x->program);
    if (port->fd >= 0)
        close(port->fd);
    if (x->promiscuous_fd >= 0)
        close(x->promiscuous_fd);
    unmap_ring(&x->rx);
    unmap_ring(&x->tx);
    unmap_ring(&x->fill);
    unmap_ring(&x->completion);
    if (x->umem)
        munmap(x->umem, x->umem_bytes);
    free(x->free);
}

const tg_ops tg_xdp_ops = {
    .name = "xdp",
    .size = sizeof(xdp_port),
    .open = xdp_open_port,
    .recv_burst = xdp_recv_burst,
    .alloc = xdp_alloc,
    .send_burst = xdp_send_burst,
    .release = xdp_release,
    .reclaim = xdp_reclaim,
    .check = xdp_check,
    .stats = xdp_stats,
    .close = xdp_close,
};
