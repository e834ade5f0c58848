"""The list of models: its tags are data, its secrets are refused, and what is odd stops the start."""

import pytest

from strongroom.clusterserving.names import Job
from strongroom.streaming.frontend.options import FrontOption, FrontOptions, whole_version
from strongroom.streaming.frontend.servables import BadServables, read_servables

ORIGINAL = b"""
modelMetaDataList:
- !<ClusterServingMetaData>
  modelName: "1"
  modelVersion: "1.0"
  redisHost: localhost
  redisPort: "6379"
  redisInputQueue: serving_stream
  redisOutputQueue: "cluster-serving_serving_stream:"
- !<InferenceModelMetaData>
  modelName: m
  modelVersion: "1"
  modelPath: /dir
  modelType: OpenVINO
  features: [a, b]
"""


def queue(**fields: str) -> bytes:
    lines = {"modelName": "m", "modelVersion": "1.0", **fields}
    body = "".join(f"  {name}: {value}\n" for name, value in lines.items())
    return b"modelMetaDataList:\n- !<ClusterServingMetaData>\n" + body.encode()


def test_the_original_s_file_is_read():
    first, second = read_servables(ORIGINAL)
    assert (first.name, first.version, first.job, first.host, first.port) == (
        "1", "1.0", Job("serving_stream"), "localhost", 6379)  # fmt: skip
    assert second.job is None
    assert second.features == ("a", "b")
    assert second.metadata["modelType"] == "OpenVINO"


def test_a_version_that_looks_like_a_number_stays_what_was_written():
    assert read_servables(queue(modelVersion="1.10"))[0].version == "1.10"


def test_a_model_s_own_bucket_and_tls_are_read():
    [found] = read_servables(
        queue(tokenBucketEnabled="true", tokensPerSecond="30", redisSecureEnabled="True", redisTrustStorePath="/ca")
    )
    assert (found.tokens_per_second, found.secure, found.trust_store) == (30, True, "/ca")
    assert read_servables(queue(tokenBucketEnabled="false", tokensPerSecond="30"))[0].tokens_per_second is None
    assert read_servables(queue(tokenBucketEnabled="true"))[0].tokens_per_second == 100


def test_a_password_in_the_file_is_refused():
    with pytest.raises(BadServables, match="passwords") as caught:
        read_servables(queue(redisTrustStoreToken="hunter2hunter2"))
    assert "hunter2" not in caught.value.sentence
    assert caught.value.code == "SR-QUEUE-SERVABLES"


@pytest.mark.parametrize(
    "text",
    [
        b"", b"a: [", b"\xff", b"modelMetaDataList: []", b"modelMetaDataList: 3", b"other: 1",
        b"modelMetaDataList:\n- modelName: m\n  modelVersion: 1\n",
        b"modelMetaDataList:\n- !<Other>\n  modelName: m\n",
        b"modelMetaDataList:\n- !!python/object/apply:os.system [true]\n",
        b"modelMetaDataList:\n- &a !<ClusterServingMetaData>\n  modelName: m\n  modelVersion: 1\n- *a\n",
        b"modelMetaDataList:\n- !<ClusterServingMetaData> text\n",
        b"modelMetaDataList:\n- !<ClusterServingMetaData>\n  ? [a]\n  : b\n",
        queue() + queue().partition(b"\n")[2],
        queue(modelNmae="x"), queue(modelName="a/b"), queue(modelName="''"), queue(redisPort="0"),
        queue(redisPort="99999"), queue(redisPort="[1]"), queue(redisSecureEnabled="maybe"),
        queue(redisOutputQueue="other:"), queue(tokenBucketEnabled="true", tokensPerSecond="-1"),
        b"modelMetaDataList:\n- !<ClusterServingMetaData>\n  modelName: a\n  modelName: b\n  modelVersion: 1\n",
        b"[" * 5000, b"#" * 300_000,
    ],
)  # fmt: skip
def test_what_is_no_list_of_models_stops_the_start(text):
    with pytest.raises(BadServables):
        read_servables(text)


def test_a_model_of_the_model_server_needs_one(tmp_path, key_files):
    path = tmp_path / "servables.yaml"
    path.write_bytes(ORIGINAL.replace(b"- !<ClusterServingMetaData>", b"- !<InferenceModelMetaData>").replace(
        b"  redisHost: localhost\n  redisPort: \"6379\"\n  redisInputQueue: serving_stream\n"
        b"  redisOutputQueue: \"cluster-serving_serving_stream:\"\n", b""))  # fmt: skip
    with pytest.raises(FrontOption, match="--model-server") as caught:
        FrontOptions(keys=key_files(), servables=path).models()
    assert caught.value.code == "SR-QUEUE-FRONTEND-OPTION"
    with pytest.raises(BadServables, match="cannot be read"):
        FrontOptions(keys=key_files(), servables=tmp_path / "none.yaml").models()


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("1.0", 1), ("", None), ("20", 20)])
def test_versions_of_model_servers_are_numbers(text, number):
    assert whole_version(text) == number
    with pytest.raises(FrontOption):
        whole_version(f"{text}.5x")


@pytest.mark.parametrize(
    "line",
    ["features: !<ClusterServingMetaData> {a: b}", "features: [!<ClusterServingMetaData> {a: b}]", "features: {a: b}",
     "redisHost: [a]", "redisHost: !<InferenceModelMetaData> {a: b}", 'redisHost: "a\\r\\nb"',
     "inputCompileType: {a: b}"],
)  # fmt: skip
def test_sv_12_values_of_another_shape_are_refused_whatever_their_tag(line):
    head = b"modelMetaDataList:\n - !<ClusterServingMetaData>\n   modelName: a\n   modelVersion: b\n   "
    with pytest.raises(BadServables):
        read_servables(head + line.encode() + b"\n")
