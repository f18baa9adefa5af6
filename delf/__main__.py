"""`python3 -m delf`: the command without its name."""

import sys

from delf.command import main

if __name__ == "__main__":
    sys.exit(main())
