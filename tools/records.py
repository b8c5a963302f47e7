"""Say which records the book is built on: those that ECGCOURSE_DATA names, else the practice set, written if need be.

python tools/records.py
"""

import sys

from ecgcourse import practice, ptbxl
from ecgcourse.errors import DataError


def main() -> str | None:
    """Print folder, kind and number of the records; return a message when there are none."""
    try:
        root = practice.data_root(progress=None)
        table = ptbxl.read_table(root)
    except DataError as error:
        return str(error)
    kind = "synthetic records" if practice.is_practice(root) else "records of PTB-XL"
    print(f"The book's chapters will use the {len(table):,} {kind} in {root}.")
    return None


if __name__ == "__main__":
    sys.exit(main())
