"""Prints every distribution installed beside this interpreter as `name==version`, one a line: constraints.txt."""

from __future__ import annotations

import re
from importlib.metadata import distributions

_INSTALLERS = {"pip", "homeostat"}
_NOT_HERE = {"torch": "2.13.0"}
"""Extras that are too large for everybody's environment, in the versions that were tried."""


def main() -> None:
    """Print the sorted list, names and versions only."""
    found = _NOT_HERE | {re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version for d in distributions()}
    print("# Every version that `make` installs; written by `make constraints`.")
    for name in sorted(found.keys() - _INSTALLERS):
        print(f"{name}=={found[name]}")


if __name__ == "__main__":
    main()
