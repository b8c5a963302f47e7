"""``python -m ecgcourse``: see :mod:`ecgcourse.cli`."""

import sys

from ecgcourse.cli import main

if __name__ == "__main__":
    sys.exit(main())
