"""What a run of the queue's bench comes to."""

import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest

from strongroom.clusterserving.values import Image
from strongroom.streaming.bench import numbers, senders
from strongroom.streaming.bench.page import chart, page
from strongroom.streaming.bench.plan import Plan, UnevenLoad, inputs_for, picture
from strongroom.streaming.bench.senders import SenderLost, Share
from strongroom.streaming.client.settings import Settings


def share(began, sent, ended, latencies, errors=()):
    return Share(began_s=began, sent_s=sent, ended_s=ended, cpu_s=0.25, latencies_s=list(latencies),
                 finished_s=[began + each for each in latencies], errors=Counter(errors))  # fmt: skip


@pytest.fixture
def shares():
    return [share(10.0, 11.0, 12.0, [0.1, 0.2]), share(10.5, 11.5, 14.0, [0.3], ["SR-QUEUE-SHAPE"])]


def test_time_runs_from_the_first_record_to_the_last_result(shares):
    found = numbers.numbers(shares, images=4)
    assert (found["seconds"], found["enqueue_seconds"]) == (4.0, 1.5)
    assert (found["served"], found["invalid"], found["errors"]) == (3, 1, {"SR-QUEUE-SHAPE": 1})
    assert (found["images_per_s"], found["client_cpu_s"]) == (0.75, 0.5)
    assert (found["p50_ms"], found["p99_ms"]) == (200.0, 300.0)


def test_the_last_line_is_the_one_that_the_guide_looks_for(shares):
    assert numbers.served_line(numbers.numbers(shares, images=4)) == (
        "Served 3 images in 4.0 sec, e2e throughput is 0.75 images/sec, excluded 1 invalid results"
    )


def test_nothing_served_has_no_percentiles():
    found = numbers.numbers([share(1.0, 2.0, 3.0, [], ["SR-QUEUE-FULL"])], images=1)
    assert found["p50_ms"] is None
    assert "invalid 1, SR-QUEUE-FULL 1" in numbers.latency_line(found)
    assert numbers.over_time([share(1.0, 2.0, 3.0, [])]) == numbers.by_share([share(1.0, 2.0, 3.0, [])]) == []


def test_the_rate_over_time_adds_up_to_all_results(shares):
    points = numbers.over_time(shares, points=4)
    step = points[1][0] - points[0][0]
    assert sum(rate * step for _, rate in points) == pytest.approx(3)


def test_latency_by_share_never_falls(shares):
    line = [value for _, value in numbers.by_share(shares)]
    assert line == sorted(line)
    assert line[-1] == pytest.approx(300.0)


def test_the_page_is_one_file_with_two_charts_and_escapes_what_it_is_given(shares):
    found = numbers.numbers(shares, images=4)
    text = page("<b>queue", found, numbers.over_time(shares), numbers.by_share(shares))
    tree = ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314  # made by us
    assert len(tree.findall(".//svg")) == 2
    assert "<b>" not in text
    assert chart("empty", "x", []) == ""


def test_a_process_that_cannot_reach_the_queue_ends_the_run_with_its_reason(tmp_path):
    settings = Settings.of({"ca": tmp_path / "away.pem"}, form="raw")
    plan = Plan(settings=settings, images=1, processes=1, inputs=inputs_for("jpeg", picture(None), floats=1))
    with pytest.raises(SenderLost) as refused:
        senders.run(plan, lambda _seen, _bad: None)
    assert refused.value.code == "SR-QUEUE-BENCH-LOST"
    assert "away.pem" in refused.value.sentence


def test_images_are_shared_out_evenly_or_not_at_all():
    settings = Settings.of({}, form="raw")
    with pytest.raises(UnevenLoad) as refused:
        Plan(settings=settings, images=10, processes=3, inputs={})
    assert refused.value.code == "SR-QUEUE-BENCH-UNEVEN"
    assert Plan(settings=settings, images=9, processes=3, inputs={}).share == 3


def test_a_picture_is_made_where_none_is_given_and_is_always_the_same():
    made = picture(None)
    assert made == picture(None)
    assert made.data.startswith(b"\xff\xd8")
    assert 10_000 < len(made.data) < 60_000


@pytest.mark.parametrize(("wire", "kind"), [("jpeg", Image), ("arrow", Image), ("raw", np.ndarray)])
def test_a_wire_says_what_a_record_holds(wire, kind):
    found = inputs_for(wire, picture(None))["t"]
    assert isinstance(found, kind)
    if kind is np.ndarray:
        assert (found.dtype, found.shape) == (np.float32, (3, 224, 224))


def test_a_tensor_of_a_few_numbers_can_be_sent_instead():
    assert inputs_for("jpeg", picture(None), floats=4)["t"].shape == (4,)
