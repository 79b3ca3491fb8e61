"""The command `torpor`: neither an interrupt while its modules are being loaded nor a full disk ends it with a traceback."""

import errno
import os
import signal
import sys

_INTERRUPTED = signal.getsignal(signal.SIGINT)
if _INTERRUPTED is signal.default_int_handler:  # else whoever started this wants no interrupts
    signal.signal(signal.SIGINT, signal.SIG_DFL)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Run the command."""
    from eventing.cli import main as command

    signal.signal(signal.SIGINT, _INTERRUPTED)
    try:
        command()
    except OSError as error:
        if error.errno not in _FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to be printed has no place either
        sys.exit(f"torpor: {error.filename or 'what it prints'} cannot be written: {error.strerror}")
