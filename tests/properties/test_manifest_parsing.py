"""The manifest parser raises nothing but its own errors, and reads back what was written."""

import json

from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.gramine import manifest

PRINTABLE = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "STRONGROOM_QUOTE_FD")
KEYS = ["libos", "loader", "sgx", "argv", "env", "entrypoint", "debug", "trusted_files", "uri", "insecure__x"]
WORDS = st.sampled_from([*KEYS, *"=.[]{}\"',\n\0", "true", "1", "file:a"])


def toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@given(st.text(max_size=200))
def test_any_text_ends_in_a_manifest_or_in_a_catalogued_error(text):
    try:
        manifest.parse(text)
    except StrongroomError as error:
        assert error.code.startswith("SR-MANIFEST")


@given(st.lists(WORDS, max_size=30))
def test_any_arrangement_of_known_words_ends_in_a_manifest_or_in_a_catalogued_error(words):
    try:
        manifest.parse("".join(words))
    except StrongroomError as error:
        assert error.code.startswith("SR-MANIFEST")


@given(
    entrypoint=PRINTABLE.filter(bool),
    argv=st.lists(PRINTABLE, max_size=4),
    env=st.dictionaries(NAMES, PRINTABLE, max_size=4),
    numbers=st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    debug=st.booleans(),
)
def test_what_was_written_is_what_is_read(entrypoint, argv, env, numbers, debug):
    lines = [
        f"libos.entrypoint = {toml(entrypoint)}",
        f"loader.argv = [{', '.join(toml(each) for each in ['p', *argv])}]",
        *(f"loader.env.{name} = {toml(value)}" for name, value in env.items()),
        f"sgx.isvprodid = {numbers[0]}\nsgx.isvsvn = {numbers[1]}\nsgx.debug = {json.dumps(debug)}",
    ]
    found = manifest.parse("\n".join(lines))
    assert found.entrypoint == entrypoint
    assert found.argv == ("p", *argv)
    assert {name: each.value for name, each in found.env.items()} == env
    assert (found.isvprodid, found.isvsvn, found.debug) == (*numbers, debug)
