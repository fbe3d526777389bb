"""`python -m pushd.ctl`, the same as `pushctl`."""

import sys

from pushd.ctl import main

if __name__ == "__main__":
    sys.exit(main())
