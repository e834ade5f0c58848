"""Model configurations: any bytes are read or refused, what is read survives a round trip, labels obey the rules."""

from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.tfserving.config import (
    PLATFORMS,
    AllVersions,
    ConfigConflict,
    LabelRules,
    Latest,
    ModelEntry,
    ServerConfig,
    Specific,
    check_labels,
    parse_server_config,
    parse_session_config,
    server_config_of,
)
from strongroom.tfserving.messages import ModelServerConfig

INT64 = st.integers(-(2**63), 2**63 - 1)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
POLICIES = st.one_of(
    st.builds(Latest, st.integers(1, 2**32 - 1)),
    st.just(AllVersions()),
    st.builds(Specific, st.frozensets(INT64, max_size=5)),
)
ENTRIES = st.builds(
    ModelEntry,
    name=WORDS,
    base_path=st.text(st.characters(exclude_characters="\0:", exclude_categories=["Cs"]), max_size=20).map(
        "/{}".format
    ),
    platform=st.sampled_from(PLATFORMS),
    policy=POLICIES,
    labels=st.dictionaries(WORDS, INT64, max_size=4).map(lambda labels: dict(sorted(labels.items()))),
)
CONFIGS = st.lists(ENTRIES, max_size=4, unique_by=lambda entry: entry.name)


def message_of(entries):
    message = ModelServerConfig()
    message.model_config_list.SetInParent()
    for entry in entries:
        row = message.model_config_list.config.add(
            name=entry.name, base_path=entry.base_path, model_platform=entry.platform, version_labels=entry.labels
        )
        policy = row.model_version_policy
        if isinstance(entry.policy, Latest):
            policy.latest.num_versions = entry.policy.count
        elif isinstance(entry.policy, AllVersions):
            policy.all.SetInParent()
        else:
            policy.specific.SetInParent()
            policy.specific.versions.extend(sorted(entry.policy.versions))
    return message


@given(CONFIGS)
def test_what_is_written_is_read(entries):
    message = message_of(entries)
    assert server_config_of(message).models == tuple(entries)
    assert parse_server_config(text_format.MessageToString(message).encode(), file="f").models == tuple(entries)


PIECES = st.sampled_from(
    ["model_config_list", "config", "{", "}", ":", "name", '"m"', "base_path", '"/m"', "model_platform", "[", "]", "<",
     "version_labels", "key", "value", "1", "-", "0x", "#", "\n", "'", "\\", "custom_model_config",
     "type.googleapis.com/"]
)  # fmt: skip


@given(st.binary(max_size=300) | st.lists(PIECES, max_size=60).map(lambda words: " ".join(words).encode()))
def test_any_bytes_are_read_or_refused(data):
    for read in (parse_server_config, parse_session_config):
        try:
            read(data, file="f")
        except StrongroomError as problem:
            assert problem.sentence  # nothing else is raised


@given(CONFIGS, CONFIGS, st.sets(st.tuples(WORDS, INT64)), st.booleans())
def test_a_label_never_moves_to_a_version_that_cannot_answer(new, old, available, for_unavailable):
    rules = LabelRules(for_unavailable=for_unavailable)
    before, after = ServerConfig(models=tuple(old)), ServerConfig(models=tuple(new))
    try:
        check_labels(after, old=before, rules=rules, available=lambda name, version: (name, version) in available)
    except ConfigConflict:
        return
    for entry in new:
        held = before[entry.name].labels if entry.name in before else {}
        for label, version in entry.labels.items():
            moved = label in held and held[label] != version
            assert not moved or (entry.name, version) in available
            assert for_unavailable or held.get(label) == version or (entry.name, version) in available
