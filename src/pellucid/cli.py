"""The command line: parses, calls, prints. Results for machines go to stdout alone, everything else to stderr."""

from __future__ import annotations

import gc
import signal
import sys

from pellucid.command_line import data, runs, studies  # noqa: F401 - they register their commands, in this order
from pellucid.command_line.parts import app, log, out
from pellucid.errors import PellucidError


@app.command(epilog="Example: pellucid version")
def version() -> None:
    """Print the version."""
    from pellucid import __version__

    out.print(__version__)


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit status 2."""
    gc.set_threshold(100_000, 20, 20)  # imports make millions of objects and hardly a cycle: looking for them took .3 s
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop as by Ctrl-C: what is half-written goes
    try:
        app()
    except PellucidError as error:
        log.print(f"pellucid: {error}", style="red", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        log.print("pellucid: interrupted; the same command goes on where it stopped")
        sys.exit(130)
