"""config.yaml: whatever the bytes, an answer or one of our errors; what is written reads as the same."""

from hypothesis import given
from hypothesis import strategies as st

from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.config_keys import BY_NAME, KEYS, Kind
from strongroom.clusterserving.config_text import config_text
from strongroom.errors import StrongroomError

KEY = st.sampled_from([key.name for key in KEYS])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def read(data):
    try:
        return QueueConfig.parse(data)
    except StrongroomError:
        return None


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data):
    read(data)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    read(text.encode("utf-8", "surrogatepass"))


@given(st.dictionaries(KEY | st.text(max_size=20), ANY, max_size=8))
def test_any_tree_under_known_keys_is_read_or_refused(tree):
    import yaml

    read(yaml.safe_dump(tree).encode())


values = {
    Kind.SWITCH: st.booleans(),
    Kind.NUMBER: st.integers(1, 60_000),
    Kind.BYTES: st.integers(1, 1 << 20),
    Kind.TEXT: st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20),
}
APART = {"job_name", "image_resize", "queue_used", "runner", "redis_max_memory", "strict"}
PLAIN = [key for key in KEYS if key.kind in values and not key.security
         and key.field not in APART]  # fmt: skip


@given(st.fixed_dictionaries({}, optional={key.name: values[key.kind] for key in PLAIN}))
def test_what_is_written_reads_as_the_same(tree):
    import yaml

    found = read(yaml.safe_dump(tree, allow_unicode=True).encode())
    assert found is not None
    config, _ = found
    assert QueueConfig.parse(config_text(config).encode()) == (config, ())


@given(st.sampled_from([key.name for key in KEYS if key.security]), st.data())
def test_an_16_one_slip_in_a_security_key_never_passes(name, data):
    at = data.draw(st.integers(0, len(name) - 1))
    slip = data.draw(
        st.sampled_from(
            [name[:at] + name[at + 1 :], name[:at] + name[at] + name[at:], name[:at] + "x" + name[at + 1 :]]
        )
    )
    if slip.lower() not in BY_NAME:
        assert read(f'"{slip}": true\n'.encode()) is None
