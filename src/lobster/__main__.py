"""`python -m lobster`: the `lobster` command, for `torchrun -m lobster` and the like."""

import sys

from lobster.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
