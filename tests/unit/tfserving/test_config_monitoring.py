"""MonitoringConfig in text format: off, on, elsewhere, malformed."""

import pytest

from strongroom.tfserving.config import BadConfigText
from strongroom.tfserving.config_monitoring import metrics_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config { enable: false path: '/m' }", None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config: { enable: true, path: "/metrics" }  # comment', "/metrics"),
    ],
)
def test_metrics_are_off_unless_enabled(text, path):
    assert metrics_path(text.encode(), file="m.txt") == path


def test_the_sample_of_tensorflow_serving_enables_metrics(shared_vectors):
    file = shared_vectors / "tfserving/testdata/servables/tensorflow/testdata/monitoring_config.txt"
    assert metrics_path(file.read_bytes(), file=str(file)) == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize(
    "text", ["prometheus_config { enabled: true }", "prometheus_config { enable: true path: 'metrics' }",
             "prometheus_config { enable: true path: '/V1/models' }", "\xff", "prometheus_config {"],
)  # fmt: skip
def test_a_malformed_file_is_refused(text):
    with pytest.raises(BadConfigText) as caught:
        metrics_path(text.encode("latin-1"), file="m.txt")
    assert caught.value.code == "SR-CONFIG-TEXT"
