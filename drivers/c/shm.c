/* `shm`: two rings a direction in shared memory, for one process at each end (or two threads).
 *
 * The sender of a direction owns its slots. It writes a descriptor into the direction's `work` ring; the receiver reads
 * the slot in place and hands its number back through the `done` ring. Every ring has one producer and one consumer,
 * and every entry carries a sequence number that is written last: no index is shared, so that a frame costs the
 * transfer of one descriptor's cache line and of the data. A direction has as many slots as a ring has entries, and an
 * entry is written only for a slot that is not on its way: so no ring can overflow.
 *
 * Life. Side a makes the segment; side b joins it, once. Each side holds a lock on a byte of it, which the kernel drops
 * when the process dies: so each learns of the other's death, and neither inherits half a ring: after a death, or a
 * close, both open again. A segment that a dead side a has left behind is replaced.
 */
#include "backend.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHM_MAGIC 0x7469636b67617465ull /* "tickgate" */
#define SHM_VERSION 1u

typedef struct {
    uint32_t sequence; /* number of the entry + 1, written last */
    uint32_t slot;
    uint32_t len;
    uint32_t unused;
    uint64_t stamp;
    uint64_t unused2;
} work_entry;

/* Slot in the low half, sequence in the high half: one store. */
typedef uint64_t done_entry;

typedef struct {
    uint64_t magic; /* written last */
    uint32_t version;
    uint32_t ring;
    uint32_t slot_bytes;
    uint32_t joined; /* side b was here */
    uint8_t pad[4096 - 24];
} segment_head;

typedef struct {
    work_entry *work;
    done_entry *done;
    uint8_t *data;
    uint32_t work_next, done_next; /* numbers of the next entries that this side writes or reads */
} direction;

typedef struct {
    tg_port base;
    direction out, in;
    segment_head *segment;
    size_t bytes;
    uint32_t mask, shift;
    uint32_t *free; /* stack of slots that alloc may give */
    uint32_t free_count;
    int side_b, met, named, owner_of_name;
    pid_t opener; /* a child of it that ends takes no segment away */
} shm_port;

static size_t direction_bytes(uint32_t ring, uint32_t slot_bytes) {
    size_t bytes = (size_t)ring * (sizeof(work_entry) + sizeof(done_entry));
    return ((bytes + 4095u) & ~(size_t)4095u) + (size_t)ring * slot_bytes;
}

static void lay_out(direction *d, uint8_t *at, uint32_t ring) {
    size_t rings = (size_t)ring * (sizeof(work_entry) + sizeof(done_entry));
    d->work = (work_entry *)at;
    d->done = (done_entry *)(at + (size_t)ring * sizeof(work_entry));
    d->data = at + ((rings + 4095u) & ~(size_t)4095u);
}

/* An open-file-description lock on one byte. Returns 0, or -errno. */
static int lock_byte(int fd, int side, int command, short *type) {
    struct flock l = {.l_type = *type, .l_whence = SEEK_SET, .l_start = side, .l_len = 1};
    if (fcntl(fd, command, &l) < 0)
        return -errno;
    *type = l.l_type;
    return 0;
}

static int side_is_alive(int fd, int side) {
    short type = F_WRLCK;
    return lock_byte(fd, side, F_OFD_GETLK, &type) == 0 && type != F_UNLCK;
}

static int take_side(shm_port *s, int fd, int side) {
    short type = F_WRLCK;
    int result = lock_byte(fd, side, F_OFD_SETLK, &type);
    if (result == -EAGAIN || result == -EACCES)
        return tg_fail(&s->base, EBUSY, "side", (uint64_t)side);
    return result < 0 ? tg_fail(&s->base, -result, "side", (uint64_t)side) : 0;
}

/* Whether the open segment is still the one that its name leads to. */
static int still_named(int fd, const char *path) {
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

static void nap(long us) {
    struct timespec t = {0, us * 1000};
    nanosleep(&t, NULL);
}

/* Side a with a name: make the segment, or replace one whose side a is dead. */
static int create_named(shm_port *s, const char *path) {
    for (int attempt = 0; attempt < 8; attempt++) {
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0) {
            s->base.fd = fd;
            s->owner_of_name = 1;
            return take_side(s, fd, 0);
        }
        if (errno != EEXIST)
            return tg_fail(&s->base, errno, "segment", 0);
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0)
            return tg_fail(&s->base, errno, "segment", 0);
        short type = F_WRLCK;
        int held = lock_byte(fd, 0, F_OFD_SETLK, &type);
        if (held == 0 && still_named(fd, path))
            unlink(path);
        close(fd);
        if (held < 0)
            return tg_fail(&s->base, EBUSY, "side", 0);
    }
    return tg_fail(&s->base, EBUSY, "segment", 0);
}

/* Side b: the segment must be there, whole, unused and with a living side a; a second is given for that. */
static int join(shm_port *s, const char *path) {
    uint64_t until = tg_now_ms() + 1000;
    for (;;) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        int why = fd < 0 ? errno : 0;
        if (fd >= 0) {
            segment_head head;
            ssize_t n = pread(fd, &head, sizeof head, 0);
            if (n == (ssize_t)sizeof head && head.magic == SHM_MAGIC && side_is_alive(fd, 0)) {
                if (head.version != SHM_VERSION) {
                    close(fd);
                    return tg_fail(&s->base, EPROTO, "version", head.version);
                }
                if (!head.joined) {
                    s->base.fd = fd;
                    return take_side(s, fd, 1);
                }
                why = side_is_alive(fd, 1) ? EBUSY : ESTALE;
            } else {
                why = ENOTCONN;
            }
            close(fd);
        }
        if (why != ENOENT && why != ENOTCONN && why != ESTALE && why != EBUSY)
            return tg_fail(&s->base, why, "segment", 0);
        if (tg_now_ms() >= until)
            return tg_fail(&s->base, why, why == EBUSY ? "side" : "join", 1);
        nap(1000);
    }
}

static void *map_segment(shm_port *s) {
#ifdef TG_ONE_MAPPING /* both sides at one address: else ThreadSanitizer could see no race between them */
    static void *first;
    if (s->side_b)
        return first;
    return first = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->base.fd, 0);
#else
    return mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->base.fd, 0);
#endif
}

static int shm_open_port(tg_port *port, const tg_config *c) {
    shm_port *s = (shm_port *)port;
    char path[96];
    uint32_t ring = c->ring, slot_bytes = c->frame_bytes;
    int result;
    s->opener = getpid();
    s->side_b = !!(c->flags & TG_SIDE_B);
    s->named = c->fd < 0;
    if (s->named) {
        if (strlen(c->name) == 0 || strchr(c->name, '/') || strlen(c->name) > 60)
            return tg_fail(port, EINVAL, "segment name", 0);
        snprintf(path, sizeof path, TG_SHM_PATH, c->name);
    } else {
        /* A description of its own for each side: locks belong to descriptions. */
        snprintf(path, sizeof path, "/proc/self/fd/%d", c->fd);
    }
    if (s->side_b) {
        if ((result = join(s, path)) < 0)
            return result;
        segment_head head;
        if (pread(port->fd, &head, sizeof head, 0) != (ssize_t)sizeof head)
            return tg_fail(port, EIO, "segment", 0);
        ring = head.ring;
        slot_bytes = head.slot_bytes;
        if (ring < 8 || ring > 32768 || (ring & (ring - 1)) || slot_bytes < 256 || slot_bytes > 65536)
            return tg_fail(port, EPROTO, "segment", ring);
    } else if (s->named) {
        if ((result = create_named(s, path)) < 0)
            return result;
    } else {
        port->fd = open(path, O_RDWR | O_CLOEXEC);
        if (port->fd < 0)
            return tg_fail(port, errno, "segment", 0);
        if ((result = take_side(s, port->fd, 0)) < 0)
            return result;
    }
    s->bytes = sizeof(segment_head) + 2 * direction_bytes(ring, slot_bytes);
    struct stat there;
    if (s->side_b && (fstat(port->fd, &there) < 0 || (size_t)there.st_size < s->bytes))
        return tg_fail(port, EPROTO, "segment", (uint64_t)there.st_size);
    /* posix_fallocate: a full /dev/shm is an error here, not a SIGBUS later. */
    if (!s->side_b && (ftruncate(port->fd, 0) < 0 || (errno = posix_fallocate(port->fd, 0, (off_t)s->bytes)) != 0))
        return tg_fail(port, errno, "segment", s->bytes);
    void *at = map_segment(s);
    if (at == MAP_FAILED)
        return tg_fail(port, errno, "map", s->bytes);
    s->segment = at;
    if ((result = tg_states_new(port, 2 * ring)) < 0)
        return result;
    s->free = calloc(ring, sizeof *s->free);
    if (s->free == NULL)
        return tg_fail(port, ENOMEM, "memory", ring);
    uint8_t *first = (uint8_t *)at + sizeof(segment_head);
    lay_out(s->side_b ? &s->in : &s->out, first, ring);
    lay_out(s->side_b ? &s->out : &s->in, first + direction_bytes(ring, slot_bytes), ring);
    /* Slots 0 .. ring - 1 are ours to send, ring .. 2 ring - 1 the peer's. */
    for (uint32_t i = 0; i < ring; i++) {
        s->free[i] = ring - 1 - i;
        port->states[i] = TG_COMPLETION;
        port->states[ring + i] = TG_FILL;
    }
    s->free_count = ring;
    s->mask = ring - 1;
    s->shift = (uint32_t)__builtin_ctz(slot_bytes);
    port->room = port->max_frame = slot_bytes;
    port->min_frame = 1;
    port->stamp_clock = "sender";
    snprintf(port->mode, sizeof port->mode, "side %c", s->side_b ? 'b' : 'a');
    if (s->side_b) {
        /* Another side b may have come and gone between the look and the lock. */
        if (TG_ACQUIRE(&s->segment->joined))
            return tg_fail(port, ESTALE, "join", 1);
        s->met = 1;
        TG_RELEASE(&s->segment->joined, 1u);
    } else {
        s->segment->version = SHM_VERSION;
        s->segment->ring = ring;
        s->segment->slot_bytes = slot_bytes;
        TG_RELEASE(&s->segment->magic, SHM_MAGIC);
    }
    return 0;
}

static int shm_check(tg_port *port) {
    shm_port *s = (shm_port *)port;
    if (!s->met)
        s->met = (int)TG_ACQUIRE(&s->segment->joined);
    if (s->met && !side_is_alive(port->fd, !s->side_b))
        return tg_fail(port, EPIPE, "peer", 0);
    return 0;
}

static inline int shm_take(shm_port *s, tg_frame *frames, unsigned n) {
    tg_port *port = &s->base;
    direction *d = &s->in;
    unsigned got = 0;
    while (got < n) {
        work_entry *e = &d->work[d->work_next & s->mask];
        if (TG_ACQUIRE(&e->sequence) != d->work_next + 1)
            break;
        uint32_t number = e->slot, len = e->len, slot = number + s->mask + 1;
        d->work_next++;
        /* What the peer wrote is not trusted: an entry out of range would read other memory. */
        if (TG_UNLIKELY(number > s->mask || len == 0 || len > port->room || tg_own(port, slot, TG_FILL, TG_USER) < 0)) {
            port->counted.rx_invalid++;
            return got ? (int)got : tg_fail(port, EPROTO, "descriptor", number);
        }
        frames[got] = (tg_frame){d->data + ((size_t)number << s->shift), len, slot, e->stamp};
        port->counted.rx_bytes += len;
        got++;
    }
    port->counted.rx_frames += got;
    return (int)got;
}

static int shm_recv_burst(tg_port *port, tg_frame *frames, unsigned n) {
    shm_port *s = (shm_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    int got = shm_take(s, frames, n);
    if (TG_LIKELY(got != 0)) {
        port->idle = 0;
        return got;
    }
    if (!port->wait_ms) {
        if (TG_UNLIKELY(++port->idle >= TG_IDLE_CHECK)) {
            port->idle = 0;
            return shm_check(port);
        }
        return 0;
    }
    uint64_t until = tg_now_ms() + port->wait_ms;
    for (unsigned round = 0; n; round++) {
        if ((got = shm_take(s, frames, n)) != 0)
            return got;
        if (round < 2000) {
            tg_pause();
        } else {
            struct timespec t = {0, 20000};
            if (nanosleep(&t, NULL) < 0)
                return tg_fail(port, EINTR, "wait", 0);
            if (tg_now_ms() >= until)
                return shm_check(port);
        }
    }
    return 0;
}

static int shm_reclaim(tg_port *port) {
    shm_port *s = (shm_port *)port;
    direction *d = &s->out;
    int got = 0;
    for (;;) {
        uint64_t e = TG_ACQUIRE(&d->done[d->done_next & s->mask]);
        if ((uint32_t)(e >> 32) != d->done_next + 1)
            return got;
        uint32_t slot = (uint32_t)e;
        d->done_next++;
        if (slot > s->mask || tg_own(port, slot, TG_TX, TG_COMPLETION) < 0) {
            port->counted.rx_invalid++;
            return tg_fail(port, EPROTO, "descriptor", slot);
        }
        s->free[s->free_count++] = slot;
        got++;
    }
}

static int shm_alloc(tg_port *port, tg_frame *frames, unsigned n) {
    shm_port *s = (shm_port *)port;
    n = n > TG_BURST_MAX ? TG_BURST_MAX : n;
    if (s->free_count < n) {
        int result = shm_reclaim(port);
        if (result < 0)
            return result;
    }
    unsigned i;
    for (i = 0; i < n && s->free_count; i++) {
        uint32_t slot = s->free[--s->free_count];
        tg_own(port, slot, TG_COMPLETION, TG_USER);
        frames[i] = (tg_frame){s->out.data + ((size_t)slot << s->shift), port->room, slot, 0};
    }
    if (i < n)
        port->counted.tx_full++;
    return (int)i;
}

/* Hand a received slot back to its sender. */
static inline void give_back(shm_port *s, uint32_t slot) {
    direction *d = &s->in;
    uint64_t e = (uint64_t)(d->done_next + 1) << 32 | (slot - s->mask - 1);
    TG_RELEASE(&d->done[d->done_next & s->mask], e);
    d->done_next++;
}

static int shm_release(tg_port *port, const tg_frame *frames, unsigned n) {
    shm_port *s = (shm_port *)port;
    for (unsigned i = 0; i < n; i++) {
        uint32_t slot = frames[i].slot;
        int received = slot > s->mask;
        int result = tg_own(port, slot, TG_USER, received ? TG_FILL : TG_COMPLETION);
        if (result < 0)
            return result;
        if (received)
            give_back(s, slot);
        else
            s->free[s->free_count++] = slot;
    }
    return 0;
}

static int shm_send_burst(tg_port *port, const tg_frame *frames, unsigned n) {
    shm_port *s = (shm_port *)port;
    direction *d = &s->out;
    unsigned i;
    int result = 0;
    for (i = 0; i < n; i++) {
        const tg_frame *f = &frames[i];
        uint32_t slot = f->slot;
        uint8_t *data;
        if ((result = tg_sendable(port, f)) < 0)
            break;
        if (slot > s->mask) { /* a received frame lies in the peer's memory: it goes out as a copy */
            if (!s->free_count && (result = shm_reclaim(port)) <= 0) {
                port->counted.tx_full++;
                break;
            }
            uint32_t copy = s->free[--s->free_count];
            data = d->data + ((size_t)copy << s->shift);
            memcpy(data, f->data, f->len);
            tg_own(port, copy, TG_COMPLETION, TG_TX);
            tg_own(port, slot, TG_USER, TG_FILL);
            slot = copy;
        } else {
            data = d->data + ((size_t)slot << s->shift);
            if (TG_UNLIKELY(f->data != data)) /* its start was moved within the slot */
                memmove(data, f->data, f->len);
            tg_own(port, slot, TG_USER, TG_TX);
        }
        work_entry *e = &d->work[d->work_next & s->mask];
        e->slot = slot;
        e->len = f->len;
        e->stamp = f->stamp;
        TG_RELEASE(&e->sequence, d->work_next + 1);
        d->work_next++;
        if (f->slot > s->mask) /* after what the peer waits for */
            give_back(s, f->slot);
        port->counted.tx_bytes += f->len;
    }
    port->counted.tx_frames += i;
    return i || result >= 0 ? (int)i : result;
}

static void shm_stats(tg_port *port, tg_stats *stats) { *stats = port->counted; }

static void shm_close(tg_port *port) {
    shm_port *s = (shm_port *)port;
    char path[96];
    if (port->fd >= 0 && s->named && s->opener == getpid()) {
        snprintf(path, sizeof path, TG_SHM_PATH, port->name);
        /* Side b clears away what a dead side a has left. */
        if ((s->owner_of_name || (s->side_b && !side_is_alive(port->fd, 0))) && still_named(port->fd, path))
            unlink(path);
    }
    if (s->segment)
        munmap(s->segment, s->bytes);
    if (port->fd >= 0)
        close(port->fd);
    free(s->free);
}

const tg_ops tg_shm_ops = {
    .name = "shm",
    .size = sizeof(shm_port),
    .open = shm_open_port,
    .recv_burst = shm_recv_burst,
    .alloc = shm_alloc,
    .send_burst = shm_send_burst,
    .release = shm_release,
    .reclaim = shm_reclaim,
    .check = shm_check,
    .stats = shm_stats,
    .close = shm_close,
};
