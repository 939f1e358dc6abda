"""Loop: the one object that a user declares, how it is read from a file, and the pipeline that it runs."""

from homeostat.loop.declaration import Loop
from homeostat.loop.load import load_loop

__all__ = ["Loop", "load_loop"]
