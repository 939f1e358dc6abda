"""The versions that score rows which another one answers, after the reply, where they can harm nobody."""
