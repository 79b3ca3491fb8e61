"""The command `torpor`: an interrupt while its modules are being loaded ends it without a traceback."""

import signal

_INTERRUPTED = signal.getsignal(signal.SIGINT)
if _INTERRUPTED is signal.default_int_handler:  # else whoever started this wants no interrupts
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the command."""
    from eventing.cli import main as command

    signal.signal(signal.SIGINT, _INTERRUPTED)
    command()
