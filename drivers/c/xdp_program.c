/* The program that gives frames to the sockets of `xdp`: put together here, loaded and attached with bpf(2). */
#include "xdp_program.h"

#include <linux/bpf.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_PROGRAMS 64u

static tg_xdp_program programs[MAX_PROGRAMS];
static pthread_mutex_t programs_lock = PTHREAD_MUTEX_INITIALIZER;

static int bpf(int command, union bpf_attr *attr, size_t size) {
    long result = syscall(SYS_bpf, command, attr, size);
    return result < 0 ? -errno : (int)result;
}

static int new_map(void) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.map_type = BPF_MAP_TYPE_XSKMAP;
    attr.key_size = attr.value_size = 4;
    attr.max_entries = TG_XDP_QUEUES_MAX;
    return bpf(BPF_MAP_CREATE, &attr, sizeof attr);
}

#define INSN(op, dst, src, offset, value) \
    { .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (offset), .imm = (value) }

static int new_program(int map_fd, int stamps) {
    const struct bpf_insn head[] = {INSN(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0)}; /* r6 = context */
    /* Eight bytes in front of the frame take bpf_ktime_get_ns(). Where there is no room for them nothing is written. */
    const struct bpf_insn stamp[] = {
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, -8),
        INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_xdp_adjust_meta),
        INSN(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 7, 0),
        INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns),
        INSN(BPF_LDX | BPF_MEM | BPF_W, 1, 6, offsetof(struct xdp_md, data_meta), 0),
        INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 6, offsetof(struct xdp_md, data), 0),
        INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 1, 0, 0),
        INSN(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, 8),
        INSN(BPF_JMP | BPF_JGT | BPF_X, 3, 2, 1, 0),
        INSN(BPF_STX | BPF_MEM | BPF_DW, 1, 0, 0, 0),
    };
    const struct bpf_insn tail[] = {
        INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 6, offsetof(struct xdp_md, rx_queue_index), 0),
        INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map_fd),
        INSN(0, 0, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, XDP_PASS), /* where no socket has the queue */
        INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    struct bpf_insn all[sizeof head / sizeof *head + sizeof stamp / sizeof *stamp + sizeof tail / sizeof *tail];
    size_t n = 0;
    memcpy(all, head, sizeof head);
    n += sizeof head / sizeof *head;
    if (stamps) {
        memcpy(all + n, stamp, sizeof stamp);
        n += sizeof stamp / sizeof *stamp;
    }
    memcpy(all + n, tail, sizeof tail);
    n += sizeof tail / sizeof *tail;
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_XDP;
    attr.insns = (uint64_t)(uintptr_t)all;
    attr.insn_cnt = (uint32_t)n;
    attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
    memcpy(attr.prog_name, "tickgate", 9);
    return bpf(BPF_PROG_LOAD, &attr, sizeof attr);
}

static ino_t this_netns(void) {
    struct stat s;
    return stat("/proc/thread-self/ns/net", &s) == 0 ? s.st_ino : 0;
}

/* Load and attach in one mode. */
static int attach(tg_port *port, tg_xdp_program *g) {
    g->map_fd = new_map();
    if (g->map_fd < 0)
        return tg_fail(port, -g->map_fd, "bpf map", 0);
    int program_fd = new_program(g->map_fd, (int)g->stamps);
    if (program_fd < 0) {
        close(g->map_fd);
        return tg_fail(port, -program_fd, "bpf program", 0);
    }
    union bpf_attr attr;
    uint64_t until = tg_now_ms() + TG_XDP_RETRY_MS;
    int link;
    for (;;) {
        memset(&attr, 0, sizeof attr);
        attr.link_create.prog_fd = (uint32_t)program_fd;
        attr.link_create.target_ifindex = (uint32_t)g->ifindex;
        attr.link_create.attach_type = BPF_XDP;
        attr.link_create.flags = g->attach_flags;
        link = bpf(BPF_LINK_CREATE, &attr, sizeof attr);
        if (link != -EBUSY || tg_now_ms() >= until)
            break;
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    close(program_fd); /* the link holds it */
    if (link < 0) {
        close(g->map_fd);
        return tg_fail(port, -link, "attach", g->attach_flags);
    }
    g->link_fd = link;
    return 0;
}

int tg_xdp_find(tg_port *port, uint32_t stamps, tg_xdp_program **found, uint32_t attach_flags) {
    tg_xdp_program wanted = {
        .netns = this_netns(), .ifindex = port->ifindex, .attach_flags = attach_flags, .stamps = stamps};
    tg_xdp_program *unused = NULL;
    int result = 0;
    pthread_mutex_lock(&programs_lock);
    for (unsigned i = 0; i < MAX_PROGRAMS && !*found; i++) {
        tg_xdp_program *g = &programs[i];
        if (!g->users) {
            unused = unused ? unused : g;
        } else if (g->netns == wanted.netns && g->ifindex == wanted.ifindex) {
            if (g->attach_flags != attach_flags || g->stamps != wanted.stamps)
                result = tg_fail(port, EBUSY, "attach", attach_flags);
            else
                *found = g;
        }
    }
    if (!*found && result == 0) {
        if (!unused)
            result = tg_fail(port, ENOSPC, "programs", MAX_PROGRAMS);
        else if ((result = attach(port, &wanted)) == 0)
            *(*found = unused) = wanted;
    }
    if (*found)
        (*found)->users++;
    pthread_mutex_unlock(&programs_lock);
    return result;
}

void tg_xdp_drop(tg_xdp_program *g) {
    pthread_mutex_lock(&programs_lock);
    if (--g->users == 0) {
        close(g->link_fd);
        close(g->map_fd);
        memset(g, 0, sizeof *g);
    }
    pthread_mutex_unlock(&programs_lock);
}

int tg_xdp_register(tg_port *port, const tg_xdp_program *g) {
    union bpf_attr attr;
    uint32_t key = port->queue, value = (uint32_t)port->fd;
    memset(&attr, 0, sizeof attr);
    attr.map_fd = (uint32_t)g->map_fd;
    attr.key = (uint64_t)(uintptr_t)&key;
    attr.value = (uint64_t)(uintptr_t)&value;
    int result = bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof attr);
    return result < 0 ? tg_fail(port, -result, "bpf map", key) : 0;
}
