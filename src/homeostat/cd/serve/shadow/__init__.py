"""The versions that score rows which another one answers, after the reply, where they can harm nobody."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.serve.shadow.follower import Follower as Follower
    from homeostat.cd.serve.shadow.follower import FollowerNotes as FollowerNotes

__getattr__ = loader(__name__, {"follower": ("Follower", "FollowerNotes")})
