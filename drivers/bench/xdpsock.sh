#!/bin/sh
# Builds the peer xdpsock of `tickgate bench` into a folder: AF_XDP-example of xdp-project/bpf-examples, as it is.
#
#     drivers/bench/xdpsock.sh FOLDER [CHECKOUT]
#     tickgate bench --peer xdpsock=FOLDER/xdpsock
#
# Needs Debian's packages gcc, git, libxdp-dev, libbpf-dev, libcap-dev, libelf-dev and zlib1g-dev. Without CHECKOUT, the
# sources are cloned into FOLDER.
set -eu
[ $# -ge 1 ] && [ $# -le 2 ] || { echo "usage: $0 FOLDER [CHECKOUT]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
sources=${2:-$out/bpf-examples}
[ -e "$sources/AF_XDP-example" ] || git clone -q --depth 1 https://github.com/xdp-project/bpf-examples "$sources"

${CC:-cc} -O2 -I "$sources/headers" "$sources/AF_XDP-example/xdpsock.c" -o "$out/xdpsock" \
  -lxdp -lbpf -lelf -lz -lcap -lpthread

# xdpsock ends where it may not lift its limit of locked memory, which containers without CAP_SYS_RESOURCE refuse, though
# CAP_IPC_LOCK makes the limit meaningless. There a library in front tells it that the limit was lifted.
if ! (ulimit -l unlimited) 2>/dev/null; then
  mv "$out/xdpsock" "$out/xdpsock.program"
  printf '%s\n' '#include <sys/resource.h>' \
    'int setrlimit(__rlimit_resource_t what, const struct rlimit *limit) { (void)what; (void)limit; return 0; }' |
    ${CC:-cc} -O2 -D_GNU_SOURCE -shared -fPIC -x c - -o "$out/memlock.so"
  printf '#!/bin/sh\nLD_PRELOAD="%s" exec "%s" "$@"\n' "$out/memlock.so" "$out/xdpsock.program" >"$out/xdpsock"
  chmod +x "$out/xdpsock"
fi
echo "$out/xdpsock"
