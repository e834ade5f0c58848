"""What is told of a cluster: also of jobs that make no checkpoints."""

from strongroom.streaming.flink.looking import look
from strongroom.streaming.flink.rest import FlinkRefused

OVERVIEW = {"flink-version": "2.3.0", "slots-total": 2, "slots-available": 1}
ANSWERS = {
    "/overview": OVERVIEW,
    "/taskmanagers": {"taskmanagers": [{"id": "one", "slotsNumber": 2, "freeSlots": 1}]},
    "/jobs/overview": {
        "jobs": [
            {"jid": "a", "name": "batch", "state": "RUNNING", "duration": 5},
            {"jid": "b", "name": "stream", "state": "RUNNING", "duration": 6},
            {"jid": "c", "name": "old", "state": "FINISHED", "duration": 7},
        ]
    },
    "/jobs/b/checkpoints": {"counts": {"completed": 3, "failed": 1, "restored": 2}},
}


class Answering:
    def get(self, path):
        if path not in ANSWERS:
            raise FlinkRefused(f"{path}: Checkpointing has not been enabled.")
        return ANSWERS[path]


def test_a_batch_job_that_runs_has_no_checkpoints():
    batch, stream, old = look(Answering()).jobs
    assert (batch.checkpoints, batch.failed_checkpoints, batch.restarts) == (0, 0, 0)
    assert (stream.checkpoints, stream.failed_checkpoints, stream.restarts) == (3, 1, 2)
    assert (old.state, old.checkpoints) == ("FINISHED", 0)
