"""Images: whatever bytes are read, nothing but our own errors comes out; what is written is read back."""

import io
import json
import string
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.deploy.description import Flavour, Role
from strongroom.deploy.images import bom, pinned
from strongroom.deploy.images.archive import Member, members
from strongroom.deploy.images.expansion import expand
from strongroom.deploy.images.pinning import parse, pin
from strongroom.deploy.images.pins import closure
from strongroom.deploy.images.signing import load_key
from strongroom.deploy.images.tree_view import TreeView
from strongroom.errors import StrongroomError
from strongroom.secret import Secret

NAMES = st.text(string.ascii_lowercase + "./", min_size=1, max_size=12)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
ONLY_OURS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def quiet(call, *values):
    try:
        return call(*values)
    except StrongroomError:
        return None


@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
)
def test_a_lock_file_of_any_bytes_is_read_or_refused(content):
    quiet(parse, content)


@ONLY_OURS
@given(st.dictionaries(st.sampled_from(list(Role)), DIGESTS, min_size=1))
def test_what_is_pinned_is_read_back(tmp_path, images):
    (tmp_path / "deploy.lock.toml").unlink(missing_ok=True)
    references = {role: f"registry.example:5000/strongroom-{role}@sha256:{digest}" for role, digest in images.items()}
    pin(tmp_path, references)
    assert pinned(tmp_path) == references


def archive(layer):
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w") as tar:
        listed = json.dumps([{"Config": "c.json", "Layers": ["0.tar"]}]).encode()
        for name, content in (("0.tar", layer), ("c.json", b"{}"), ("manifest.json", listed)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return outer.getvalue()


def layer():
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        member = tarfile.TarInfo("a/b")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"12345"))
        link = tarfile.TarInfo("c")
        link.type, link.linkname = tarfile.SYMTYPE, "a/b"
        tar.addfile(link)
    return inner.getvalue()


@ONLY_OURS
@given(st.data())
def test_an_archive_with_any_byte_changed_or_cut_short_is_read_or_refused(tmp_path, data):
    whole = bytearray(archive(layer()))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    place = tmp_path / "image.tar"
    place.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))

    def read():
        for member in members(place):
            if member.is_file:
                with member.open() as stream:
                    stream.read()

    quiet(read)


@given(st.lists(st.tuples(NAMES, st.one_of(st.binary(max_size=4), NAMES)), max_size=12), NAMES)
def test_links_of_any_kind_end(entries, asked):
    view = TreeView()
    view.lay(
        Member(0, path.strip("/"), 0, isinstance(what, bytes), False, None if isinstance(what, bytes) else what,
               lambda what=what: io.BytesIO(what))
        for path, what in entries
    )  # fmt: skip
    view.digest(f"/{asked}")
    assert [path for path, _ in view.below("/")] == sorted(path for path, _ in view.below("/"))


@given(st.text(max_size=400))
def test_any_template_is_expanded_or_refused(text):
    quiet(expand, text, TreeView(), Flavour.DEFAULT)


@given(st.lists(st.sampled_from(['"file:/a"', '"file:a"', "1", '{ uri = "x" }', '"file:/"', '""']), max_size=5))
def test_any_list_of_trusted_files_is_expanded_or_refused(files):
    view = TreeView()
    view.add("a", "00" * 32)
    text = "sgx.trusted_files = [\n" + "".join(f"  {each},\n" for each in files) + "]\n"
    quiet(expand, text, view, Flavour.ANOLISOS)


@given(st.dictionaries(st.sampled_from([bom.DPKG, "models/m/1/bundle.json",
       "opt/strongroom/lib/python3.11/site-packages/x-1.dist-info/METADATA"]), st.binary(max_size=200)))  # fmt: skip
def test_a_bill_of_materials_is_json_whatever_the_files_say(files):
    json.loads(bom.render(files, role=Role.BROKER, reference="x"))


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.text(max_size=30), max_size=3)))
def test_a_closure_ends_whatever_is_required(requirements):
    found = closure(
        "a", extras=(), without=(), facts=lambda name: ("1", requirements[name]) if name in requirements else None
    )
    assert found == sorted(set(found))


@given(st.binary(max_size=200))
def test_a_signing_key_of_any_bytes_is_loaded_or_refused(content):
    quiet(load_key, Secret(content))


def test_the_property_is_about_archives_that_can_be_read(tmp_path):
    place = tmp_path / "image.tar"
    place.write_bytes(archive(layer()))
    assert [member.path for member in members(place)] == ["a/b", "c"]
    with pytest.raises(StrongroomError):
        parse(b"")
