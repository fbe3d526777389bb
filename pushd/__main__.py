"""`python -m pushd`: the daemon."""

import sys

from pushd.service.command import main

if __name__ == "__main__":
    sys.exit(main())
