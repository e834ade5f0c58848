"""A rendered tree, and how it gets into a folder without touching anything else there."""

import pytest

from strongroom.deploy.tree import TreeUnusable, joined, under
from strongroom.deploy.writing import LIST, FolderNotRendered, write


def test_trees_are_joined_in_the_order_of_their_paths():
    assert list(joined({"b": b"", "c/d": b""}, under("a", {"z": b""}))) == ["a/z", "b", "c/d"]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../b", "a//b", "", "a/", "./a", "a\\b", "a\nb", "ü", "x" * 256]
)
def test_a_path_that_could_lead_elsewhere_is_refused(path):
    with pytest.raises(TreeUnusable) as caught:
        joined({path: b""})
    assert caught.value.code == "SR-RENDER-TREE"


def test_a_file_that_two_parts_want_is_refused():
    with pytest.raises(TreeUnusable, match="twice"):
        joined({"a": b"1"}, {"a": b"2"})
    with pytest.raises(TreeUnusable, match="both"):
        joined({"a": b"1"}, {"a/b": b"2"})


def test_what_is_no_longer_rendered_goes_and_what_others_wrote_stays(tmp_path):
    folder = tmp_path / "deploy"
    assert write({"a": b"1", "k/one": b"1", "k/deep/two": b"2"}, folder) == ()
    (folder / "mine").write_text("mine")
    assert write({"a": b"new", "k/one": b"1"}, folder) == ("k/deep/two",)
    assert (folder / "a").read_bytes() == b"new"
    assert sorted(path.name for path in folder.rglob("*")) == [LIST, "a", "k", "mine", "one"]


def test_a_folder_with_files_of_somebody_else_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(FolderNotRendered) as caught:
        write({"a": b""}, tmp_path)
    assert caught.value.code == "SR-RENDER-FOLDER"
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_file_that_somebody_put_where_one_is_to_go_is_not_replaced(tmp_path):
    folder = tmp_path / "deploy"
    write({"a": b"1"}, folder)
    (folder / "b").write_text("mine")
    with pytest.raises(FolderNotRendered, match="did not write it"):
        write({"a": b"2", "b": b"2"}, folder)
    assert ((folder / "a").read_bytes(), (folder / "b").read_text()) == (b"1", "mine")


def test_a_link_is_not_followed_out_of_the_folder(tmp_path):
    folder, elsewhere = tmp_path / "deploy", tmp_path / "elsewhere"
    elsewhere.mkdir()
    write({"k/a": b"1"}, folder)
    (folder / "k/a").unlink()
    (folder / "k").rmdir()
    (folder / "k").symlink_to(elsewhere)
    with pytest.raises(FolderNotRendered, match="link"):
        write({"k/a": b"2"}, folder)
    with pytest.raises(FolderNotRendered, match="link"):
        write({"b": b"2"}, folder)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("content", ["../../etc/passwd\n", "/etc/passwd\n", "a/../../b\n"])
def test_a_list_that_names_files_elsewhere_is_not_obeyed(tmp_path, content):
    folder = tmp_path / "deploy"
    folder.mkdir()
    (folder / LIST).write_text(content)
    with pytest.raises(FolderNotRendered, match="not a list"):
        write({"a": b""}, folder)
