"""What a process leaves in the file system is removed when the process is gone, however it went."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

# Waits until its input ends, which it does when the process that holds the other end is gone, and removes the file if
# it is still the same one; where a namespace is mounted on it, that first.
_PROGRAM = """cat >/dev/null
[ "$(stat -Lc %i "$1" 2>/dev/null)" = "$2" ] || exit 0
umount -l "$1" 2>/dev/null
rm -f "$1"
"""


def watch(path: str, inode: int) -> Callable[[], None]:
    """Starts a watcher that removes the file `path` of that inode once this process is gone.

    Gives the function that ends the watcher, removing the file if it is still there.
    """
    watcher = subprocess.Popen(
        ["sh", "-c", _PROGRAM, "sh", path, str(inode)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=os.sep,
        start_new_session=True,  # a Ctrl-C, or a kill of the group, is not for it
    )  # fmt: skip

    def end() -> None:
        assert watcher.stdin is not None
        watcher.stdin.close()
        watcher.wait(10)

    return end
