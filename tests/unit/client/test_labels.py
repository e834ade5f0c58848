"""Names of classes and their ranking."""

import numpy as np
import pytest

from strongroom.client import labels
from strongroom.client.labels import BadLabels, RankedClass, read_labels, top_classes


def test_imagenet_names_come_from_the_package():
    names = read_labels("imagenet")
    assert (len(names), names[985], names[698]) == (1000, "daisy", "palace")


def test_a_file_has_one_name_a_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("cat\r\ndog\n", encoding="utf-8")
    assert read_labels(str(path)) == ("cat", "dog")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe"])
def test_a_file_that_names_nothing_is_refused(tmp_path, data):
    path = tmp_path / "names.txt"
    path.write_bytes(data)
    with pytest.raises(BadLabels) as caught:
        read_labels(str(path))
    assert caught.value.code == "SR-LABELS"


def test_an_oversized_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "MAX_LABEL_BYTES", 3)
    path = tmp_path / "names.txt"
    path.write_text("abcdef", encoding="utf-8")
    with pytest.raises(BadLabels):
        read_labels(str(path))


def test_the_best_classes_come_first_and_ties_keep_their_order():
    ranked = top_classes(np.array([[0.1, 0.4, 0.1, 0.4]], dtype=np.float32), ["a", "b", "c", "d"], count=3)
    assert [each.name for each in ranked] == ["b", "d", "a"]
    assert ranked[0] == RankedClass(1, "b", float(np.float32(0.4)))


def test_classes_without_names_keep_their_number():
    assert top_classes(np.array([0.0, 1.0]), None, count=1)[0].name == "class 1"


def test_labels_of_another_model_are_refused():
    with pytest.raises(BadLabels, match="2 labels for 3 classes"):
        top_classes(np.zeros(3), ["a", "b"], count=1)
