"""`python -m homeostat` is the same as `homeostat`."""

from homeostat.cli import main

main()
