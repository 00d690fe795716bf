/* A port sends and receives Ethernet frames (UDP payloads for `udp`) over one backend; this is the whole interface.
 *
 * Frames. A frame is a slot of memory that the port owns, never a copy of it. A slot has one owner at any time:
 *
 *   completion  free, to be had by alloc          fill  lent to whoever receives
 *   rx          received, not taken yet           user  taken by recv_burst or alloc, until release or send_burst
 *   tx          accepted by send_burst, being sent
 *
 * Its state word holds the owner and a generation that grows whenever the slot leaves the user, so that a copy of the
 * word taken at recv_burst or alloc tells later whether the frame is still the same one.
 *
 * Results. Every function that may fail returns a negative errno; the step that failed is in tg_port.fault. No
 * function allocates memory, and none waits but recv_burst of a port opened with wait_ms. Loops are bounded.
 *
 * Threads. A port belongs to one thread at a time.
 */
#ifndef TICKGATE_PORT_H
#define TICKGATE_PORT_H

#include <stddef.h>
#include <stdint.h>

#define TG_FRAME_MIN 14u     /* an Ethernet header; shorter frames are refused (not by udp and shm) */
#define TG_BURST_MAX 256u    /* recv_burst, alloc and send_burst do at most this many in one call */
#define TG_WAIT_MS 100u      /* the longest that one recv_burst waits, so that signals are seen in time */
#define TG_SHM_PATH "/dev/shm/tickgate-%s" /* where a segment of shm is, by its name */
#define TG_IDLE_CHECK 65536u /* a spinning receiver looks after its link each time it found nothing this often */

enum { TG_COMPLETION = 0, TG_USER = 1, TG_FILL = 2, TG_RX = 3, TG_TX = 4 };

enum {
    TG_HUGE_PAGES = 1,   /* xdp: UMEM in 2 MiB pages */
    TG_STAMPS = 2,       /* receive times from the kernel, in tg_frame.stamp */
    TG_COPY = 4,         /* xdp: never zero-copy */
    TG_ZERO_COPY = 8,    /* xdp: zero-copy or fail */
    TG_SIDE_B = 16,      /* shm: join the segment that side a has made */
    TG_PROMISCUOUS = 32, /* xdp and packet: frames to other addresses too */
};

typedef struct {
    uint8_t *data;
    uint32_t len;
    uint32_t slot;
    uint64_t stamp; /* receive time in ns (see tg_port.stamp_clock), 0: none; shm carries the sender's word */
} tg_frame;

typedef struct {
    uint64_t rx_frames, rx_bytes;
    uint64_t rx_dropped;  /* lost for want of a free slot, as far as the backend tells */
    uint64_t rx_oversize; /* longer than a slot: dropped, never cut */
    uint64_t rx_invalid;  /* descriptors or frames that make no sense: dropped */
    uint64_t tx_frames, tx_bytes;
    uint64_t tx_dropped; /* accepted, then refused by the kernel or the device */
    uint64_t tx_full;    /* calls of alloc or send_burst that found no room for all */
    uint64_t tx_invalid; /* frames refused for their length */
    uint64_t tx_kicks;   /* system calls made to send */
    uint64_t link_downs; /* times the link was found down */
} tg_stats;

/* What went wrong: a static name of the step, and what it was done to. */
typedef struct {
    int error; /* errno */
    const char *step;
    uint64_t detail;
} tg_fault;

typedef struct {
    const char *backend; /* shm, udp, packet, xdp-skb, xdp-drv */
    const char *name;    /* interface; shm: name of the segment; udp: interface to bind to, or empty */
    uint32_t queue;
    uint32_t ring;        /* entries of each ring: a power of two, 8 to 32,768 */
    uint32_t frame_bytes; /* bytes of a slot, with the backend's own head: a power of two, 256 to 65,536 */
    uint32_t wait_ms;     /* 0: recv_burst never waits; else so long for the first frame, at most TG_WAIT_MS */
    uint32_t busy_poll_us;
    uint32_t flags;
    int fd; /* shm: a memfd instead of a name, or -1 */
    uint32_t local_ip, remote_ip; /* udp: network order; 0: any, none */
    uint16_t local_port, remote_port; /* udp: host order */
} tg_config;

typedef struct tg_port tg_port;

typedef struct {
    const char *name;
    size_t size; /* of the backend's struct, whose first member is a tg_port */
    int (*open)(tg_port *port, const tg_config *config);
    /* Frames received, 0 where there are none; taken frames are the user's. */
    int (*recv_burst)(tg_port *port, tg_frame *frames, unsigned n);
    /* Free frames for sending: len is the room for data. */
    int (*alloc)(tg_port *port, tg_frame *frames, unsigned n);
    /* How many, from the first on, were accepted; the others stay the user's. Any frame of the user will do, also a
     * received one. With n = 0 it only pushes what is waiting. A link that fails under accepted frames is reported by
     * the next call. */
    int (*send_burst)(tg_port *port, const tg_frame *frames, unsigned n);
    /* Back to the port, unsent. */
    int (*release)(tg_port *port, const tg_frame *frames, unsigned n);
    /* Take back what was sent; alloc and send_burst do so by themselves. Returns how many. */
    int (*reclaim)(tg_port *port);
    /* 0, or why the port cannot work now: ENETDOWN (may pass), ENODEV (interface gone), EPIPE (peer gone). */
    int (*check)(tg_port *port);
    void (*stats)(tg_port *port, tg_stats *stats);
    void (*close)(tg_port *port);
} tg_ops;

struct tg_port {
    const tg_ops *ops;
    uint32_t *states; /* one word a slot: generation << 3 | owner */
    uint32_t slots;
    uint32_t room;      /* longest frame that a slot holds */
    uint32_t max_frame; /* longest frame that may be sent: MTU and Ethernet header; an 802.1Q tag may come on top */
    uint32_t min_frame;
    uint32_t wait_ms;
    uint32_t idle; /* empty receives since the last check */
    int fd;      /* to poll on; -1: none */
    int link_fd; /* to ask about the interface, in its namespace; -1: none */
    int ifindex;
    uint32_t queue;
    char name[64];
    char mode[48];
    const char *stamp_clock; /* monotonic, realtime, sender or none */
    tg_stats counted;
    tg_fault fault;
};

static inline int tg_recv_burst(tg_port *port, tg_frame *frames, unsigned n) {
    return port->ops->recv_burst(port, frames, n);
}
static inline int tg_alloc(tg_port *port, tg_frame *frames, unsigned n) { return port->ops->alloc(port, frames, n); }
static inline int tg_send_burst(tg_port *port, const tg_frame *frames, unsigned n) {
    return port->ops->send_burst(port, frames, n);
}
static inline int tg_release(tg_port *port, const tg_frame *frames, unsigned n) {
    return port->ops->release(port, frames, n);
}
static inline int tg_reclaim(tg_port *port) { return port->ops->reclaim(port); }
static inline int tg_check(tg_port *port) { return port->ops->check(port); }

/* Open a port; on failure *port is NULL, and fault tells the step. tg_port_close frees it. */
int tg_port_open(const tg_ops *ops, const tg_config *config, tg_port **port, tg_fault *fault);
void tg_port_close(tg_port *port);
/* The backend of that name, or NULL. That of `dpdk` is in a library of its own, where DPDK is installed. */
const tg_ops *tg_backend(const char *name);
extern const tg_ops tg_dpdk_ops;

#endif
