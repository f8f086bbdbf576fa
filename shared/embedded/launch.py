"""A program that becomes another one, as a given user and bound to its parent's life.

Run by its path, with options as JSON and the command line of the other program. It exists because
a process with gRPC's threads must not fork: without code of ours between fork and exec, and
without a change of user, Python starts children by vfork, which those threads do not notice.
"""

import ctypes
import json
import os
import sys

PR_SET_PDEATHSIG = 1


def main(options: dict[str, int | None], argv: list[str]) -> None:
    """Changes the user, asks for the signal when the parent's thread ends, and becomes `argv`.

    Options: `uid` and `gid` (None: ours), `signal` (None: not bound) and `parent`, our parent.
    """
    uid, gid, signal = options["uid"], options["gid"], options["signal"]
    if uid is not None and gid is not None:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if signal is not None:
        # After the change of user, which would make the kernel forget it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal)
        if os.getppid() != options["parent"]:  # it has ended already
            sys.exit(1)
    try:
        os.execv(argv[0], argv)  # noqa: S606 - no shell is meant
    except OSError as error:
        sys.exit(f"cannot run {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
