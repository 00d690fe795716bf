/* The program of `xdp` on an interface. It is a few instructions long: it redirects what arrives on a queue to that
 * queue's socket, and passes everything else on to the kernel. It hangs on a BPF link: when the last descriptor is
 * gone, also by a kill, the interface is free again. Queues of one interface that one process opens share program and
 * map.
 */
#ifndef TICKGATE_XDP_PROGRAM_H
#define TICKGATE_XDP_PROGRAM_H

#include "backend.h"

#include <sys/types.h>

#define TG_XDP_QUEUES_MAX 64u
#define TG_XDP_RETRY_MS 1000u /* what was closed just now is busy for some milliseconds more */

typedef struct {
    ino_t netns;
    int ifindex, users, map_fd, link_fd;
    uint32_t attach_flags, stamps;
} tg_xdp_program;

/* Into *found, which is NULL: the program of the port's interface, attached with these flags (XDP_FLAGS_*); an attached
 * one of this process is shared. 0, or a negative errno with the port's fault set: EBUSY where it has another mode. */
int tg_xdp_find(tg_port *port, uint32_t stamps, tg_xdp_program **found, uint32_t attach_flags);

/* Frames of the port's queue go to its socket from now on. 0, or a negative errno with the port's fault set. */
int tg_xdp_register(tg_port *port, const tg_xdp_program *g);

/* One user fewer; the last one detaches it. */
void tg_xdp_drop(tg_xdp_program *g);

#endif
