"""A model that can be published has a key that can be kept: two rooms, one grammar."""

from hypothesis import example, given
from hypothesis import strategies as st

from strongroom.bundles import BadModelName, check_model
from strongroom.workspace import BadSecretName
from strongroom.workspace.secret_store import model_key_name


def takes(check, refusal, name, version):
    try:
        check(name, version)
    except refusal:
        return False
    return True


@given(st.text(max_size=12) | st.from_regex(r"[A-Za-z0-9._-]{0,140}", fullmatch=True), st.integers(-5, 2**63 + 5))
@example("a" * 128, 2**63 - 1)
@example("a" * 129, 1)
@example("a", 2**63)
@example("a", 0)
def test_both_rooms_take_the_same_names(name, version):
    published = takes(check_model, BadModelName, name, version)
    assert published == takes(model_key_name, BadSecretName, name, version)
