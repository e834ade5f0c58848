"""The talk between a run and its helpers, over real pipes but without processes."""

import errno
import io
import os

import pytest

from strongroom import sealing
from strongroom.sealing import workers
from strongroom.sealing.source import MemorySink, MemorySource


def reply_to(work):
    """What a helper answers to one request."""
    replies = io.BytesIO()
    workers.serve(io.BytesIO(workers.REQUEST.pack(3, 5)), replies, work)
    replies.seek(0)
    return replies


def test_a_result_travels_whole():
    assert workers.receive(reply_to(lambda groups: bytes(groups) * 1000)) == b"\3\4" * 1000


@pytest.mark.parametrize("error", [*workers.TRAVELLING.values()])
def test_an_error_of_the_format_arrives_as_itself(error):
    def fail(_groups):
        raise error("data node 17 is bad")

    with pytest.raises(error, match="data node 17 is bad"):
        workers.receive(reply_to(fail))


def test_a_full_disk_in_a_helper_is_a_full_disk_here():
    def fail(_groups):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        workers.receive(reply_to(fail))
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 6])
def test_a_helper_that_falls_silent_is_lost(cut):
    replies = io.BytesIO(reply_to(lambda _groups: b"abc").getvalue()[:cut])
    with pytest.raises(sealing.HelperLost) as caught:
        workers.receive(replies)
    assert caught.value.code == "SR-SEALING-HELPER"


def test_a_job_survives_its_line_and_hides_its_root():
    job = workers.Job(size=2**40, root=bytes(range(32)))
    path, line = job.to_lines(path=["/a"], fds=[3, 4]).splitlines()
    assert path == b'["/a"]'
    assert workers.Job.of_line(line) == (job, [3, 4])
    assert job.root.hex() not in repr(job)


def test_chunks_cover_all_groups_once():
    job = workers.Job(size=3072 + 100 * 96 * 4096 + 1)
    chunks = list(job.chunks())
    assert [group for chunk in chunks for group in chunk] == list(range(101))
    assert max(map(len, chunks)) == workers.GROUPS_PER_CHUNK
    assert list(workers.Job(size=3072).chunks()) == []


def test_sealing_without_a_sink_is_a_programming_error():
    with pytest.raises(ValueError, match="needs a sink"):
        workers.Job(size=5000).work(MemorySource(bytes(5000)), None, os.urandom)


def test_opening_by_groups_writes_each_at_its_place(seal, key, plain):
    data = plain("groups", 3072 + 3 * 96 * 4096 + 10)
    sealed = MemorySource(seal(data))
    with sealing.open_source(sealed, key, stored_path=None) as reader:
        sink = MemorySink()
        work = workers.Job(size=reader.size, root=reader.metadata.root).work(sealed, sink, os.urandom)
        for groups in (range(2, 4), range(1)):
            assert work(groups) == b""
    group = 96 * 4096
    assert sink.data[3072 : 3072 + group] == data[3072 : 3072 + group]
    assert sink.data[3072 + 2 * group :] == data[3072 + 2 * group :]
    assert not any(sink.data[3072 + group : 3072 + 2 * group])
