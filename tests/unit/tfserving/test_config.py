"""Model configurations: what the text format takes, every refusal word for word, transitions and labels."""

import pytest
from google.protobuf import text_format

from strongroom.serving.status import code_of
from strongroom.tfserving import messages
from strongroom.tfserving.codes import Code
from strongroom.tfserving.config import (
    MAX_CONFIG_BYTES,
    MAX_MODELS,
    AllVersions,
    BadConfigText,
    ConfigConflict,
    ConfigRefused,
    LabelRules,
    Latest,
    ModelEntry,
    ServerConfig,
    SessionThreads,
    Specific,
    check_labels,
    check_transition,
    parse_server_config,
    parse_session_config,
    server_config_of,
)

MODEL = 'name: "m" base_path: "/models/m" model_platform: "tensorflow"'


def read(*entries):
    text = "\n".join(f"config {{ {entry} }}" for entry in entries)
    return parse_server_config(f"model_config_list {{ {text} }}".encode(), file="models.config")


def test_every_spelling_of_the_text_format_is_read():
    text = """
        # a comment
        model_config_list: {
          config: { name: 'm', base_path: "/models" '/\\x6d'; model_platform: "tensorflow",
                    model_version_policy { specific { versions: [42, 43] versions: 44 } }
                    version_labels { key: "stable" value: 42 } version_labels: { key: 'canary', value: 43 } },
          config { name: "n" base_path: "file:///models/a%20b" model_platform: "onnx" model_version_policy { all {} } }
        }
    """
    first, second = parse_server_config(text.encode(), file="f").models
    assert (first.name, first.base_path, first.platform) == ("m", "/models/m", "tensorflow")
    assert first.policy == Specific(frozenset({42, 43, 44}))
    assert first.labels == {"stable": 42, "canary": 43}
    assert (second.base_path, second.platform, second.policy) == ("/models/a b", "onnx", AllVersions())


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [("", Latest(1)), ("model_version_policy {}", Latest(1)), ("model_version_policy { latest {} }", Latest(1)),
     ("model_version_policy { latest { num_versions: 0 } }", Latest(1)),
     ("model_version_policy { latest { num_versions: 3 } }", Latest(3)),
     ("model_version_policy { specific {} }", Specific(frozenset()))],
)  # fmt: skip
def test_policies(policy, wanted):
    assert read(f"{MODEL} {policy}")["m"].policy == wanted


def test_the_deprecated_type_means_tensorflow():
    assert read('name: "m" base_path: "/m" model_type: TENSORFLOW')["m"].platform == "tensorflow"


@pytest.mark.parametrize(
    "data",
    [b"improperly formatted file", b"\xff\xfe", b"model_config_list {", b'model_config_list { config { nmae: "m" } }',
     b"model_config_list: 3", b"[" * 10_000, b"model_config_list { " * 10_000, b" " * (MAX_CONFIG_BYTES + 1),
     b'custom_model_config { [type.googleapis.com/nobody.Knows] { } }'],
    ids=range(9),
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_refused_in_two_lines(data):
    with pytest.raises(BadConfigText) as caught:
        parse_server_config(data, file="/etc/models.config")
    first, second = caught.value.sentence.splitlines()
    assert first.startswith("Error parsing text-format tensorflow.serving.ModelServerConfig")
    assert second == "Invalid protobuf file: '/etc/models.config'"
    assert caught.value.code == "SR-CONFIG-TEXT"


ILLEGAL = [
    ([MODEL, MODEL], "Illegal to list model m multiple times in config list"),
    (['name: "m" base_path: "models/m" model_platform: "tensorflow"'],
     "Expected model m to have an absolute path or URI; got base_path()=models/m"),
    (['name: "m" model_platform: "tensorflow"'],
     "Expected model m to have an absolute path or URI; got base_path()="),
    (['name: "m" base_path: "/m" model_platform: "caffe"'], "Model m requests unsupported platform caffe"),
    (['name: "m" base_path: "/m"'],
     ("Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
     "model name is m")),
    (['name: "m" base_path: "/m" model_type: TENSORFLOW model_platform: "tensorflow"'],
     ("Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform, "
     "model name is m")),
    (['name: "m" base_path: "gs://bucket/m" model_platform: "tensorflow"'],
     "model m lies at gs://bucket/m; only absolute paths and file:/// are read"),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "text"), ILLEGAL, ids=[text[:50] for _, text in ILLEGAL])
def test_what_is_illegal_is_refused_word_for_word(entries, text):
    with pytest.raises(ConfigRefused) as caught:
        read(*entries)
    assert caught.value.sentence == text
    assert caught.value.code == "SR-CONFIG"
    assert code_of(caught.value) is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "entry",
    ['base_path: "/m" model_platform: "onnx"', f'name: "{"x" * 256}" base_path: "/m" model_platform: "onnx"',
     'name: "m" base_path: "/m\\000" model_platform: "onnx"', 'name: "m" base_path: "file://elsewhere/m"',
     'name: "m" base_path: "http://[" model_platform: "onnx"',
     f"{MODEL} model_version_policy {{ specific {{ versions: [{', '.join(map(str, range(1001)))}] }} }}",
     MODEL + " ".join(f'version_labels {{ key: "{n}" value: 1 }}' for n in range(1001))],
    ids=range(7),
)  # fmt: skip
def test_what_has_no_measure_is_refused(entry):
    with pytest.raises(ConfigRefused):
        read(entry)


def test_too_many_models_are_refused():
    with pytest.raises(ConfigRefused, match="at most"):
        read(*[f'name: "{n}" base_path: "/m" model_platform: "onnx"' for n in range(MAX_MODELS + 1)])


@pytest.mark.parametrize("text", ["", "custom_model_config {}"])
def test_only_lists_of_models_are_taken(text):
    with pytest.raises(ConfigRefused) as caught:
        server_config_of(text_format.Parse(text, messages.ModelServerConfig()))
    assert caught.value.sentence == (
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
    )


def test_an_empty_list_is_a_server_without_models():
    assert parse_server_config(b"model_config_list {}", file="f").models == ()


def test_an_empty_file_may_be_the_first_configuration_and_no_later_one():
    first = parse_server_config(b"# to be filled\n", file="f", first=True)
    assert first.models == ()
    assert "f is empty" in first.warnings[0]
    for later in (b"", b"custom_model_config {}"):  # perhaps it is being written
        with pytest.raises(
            ConfigConflict, match="only legal to transition from one ModelConfigList to another"
        ) as caught:
            parse_server_config(later, file="f")
        assert caught.value.code == "SR-CONFIG-CONFLICT"
    with pytest.raises(ConfigRefused, match="Missing custom_model_config_loader"):
        parse_server_config(b"custom_model_config {}", file="f", first=True)


def test_what_has_no_effect_is_said():
    config = read(f"{MODEL} logging_config {{}} model_version_policy {{ specific {{}} }}")
    logging, nothing = config.warnings
    assert logging == "logging_config of model m has no effect: requests are not logged here"
    assert nothing == "model m asks for specific versions and names none: nothing of it is served"


def entry(name="m", **changes):
    return ModelEntry(name=name, base_path="/m", **changes)


def test_a_model_keeps_its_platform():
    old, new = (ServerConfig(models=(entry(platform=platform),)) for platform in ("tensorflow", "onnx"))
    with pytest.raises(ConfigRefused) as caught:
        check_transition(old, new)
    assert caught.value.sentence == (
        "Illegal to change a model's platform. For model m platform was tensorflow and new platform requested is onnx"
    )
    check_transition(old, ServerConfig(models=(entry("other", platform="onnx"),)))


def labelled(**labels):
    return ServerConfig(models=(entry(labels=labels),))


AVAILABLE = {1, 2}
LABELS = [  # what is asked for, what was, the rules, allowed
    (labelled(stable=1), None, LabelRules(), True),
    (labelled(stable=3), None, LabelRules(), False),
    (labelled(stable=1, canary=3), labelled(stable=1), LabelRules(), False),
    (labelled(stable=2), labelled(stable=1), LabelRules(), True),
    (labelled(stable=3), labelled(stable=3), LabelRules(), True),  # it does not move
    (labelled(), labelled(stable=1), LabelRules(), True),
    (labelled(stable=3), None, LabelRules(for_unavailable=True), True),
    (labelled(stable=3), labelled(), LabelRules(for_unavailable=True), True),
    (labelled(stable=3), labelled(stable=1), LabelRules(for_unavailable=True), False),
    (labelled(stable=2), labelled(stable=1), LabelRules(for_unavailable=True), True),
    (labelled(stable=3), labelled(stable=1), LabelRules(when_available=True), True),
]


@pytest.mark.parametrize(("new", "old", "rules", "allowed"), LABELS, ids=range(len(LABELS)))
def test_labels_name_versions_that_can_answer_or_by_rule(new, old, rules, allowed):
    def check():
        check_labels(new, old=old, rules=rules, available=lambda name, version: name == "m" and version in AVAILABLE)

    if allowed:
        check()
        return
    with pytest.raises(ConfigConflict) as caught:
        check()
    assert caught.value.sentence == (
        "Request to assign label to version 3 of model m, which is not currently available for inference"
    )
    assert caught.value.code == "SR-CONFIG-CONFLICT"
    assert code_of(caught.value) is Code.FAILED_PRECONDITION


def test_session_configuration_gives_two_thread_counts():
    data = b"intra_op_parallelism_threads: 2 inter_op_parallelism_threads: 3"
    assert parse_session_config(data, file="f") == SessionThreads(2, 3)
    with pytest.raises(ConfigRefused):
        parse_session_config(b"intra_op_parallelism_threads: -1", file="f")
    with pytest.raises(BadConfigText, match=r"tensorflow\.ConfigProto"):
        parse_session_config(b"nonsense: 1", file="f")
