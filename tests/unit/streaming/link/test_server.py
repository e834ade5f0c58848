"""A Redis of one's own: what it lets in, and what it does not."""

import contextlib

from strongroom.streaming.link.connection import SyncLink


def test_every_role_gets_in(redis_job):
    for role in ("client", "worker", "compat", "frontend", "probe", "admin"):
        with contextlib.closing(SyncLink(redis_job.place(role))) as link:
            assert link.exchange([("PING",)]) == [b"PONG"]
