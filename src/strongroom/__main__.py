"""`python -m strongroom`: the same command as `strongroom`."""

import sys

from strongroom.cli import main

if __name__ == "__main__":
    sys.exit(main())
