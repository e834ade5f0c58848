"""What the examples learn from is written, real where it is there, and its source is named."""

import pytest

from strongroom.analytics.learning import prepare


@pytest.mark.parametrize(("what", "made"), [("houses", "houses.csv"), ("diabetes", "diabetes.csv"),
                                            ("mails", "part-0.parquet")])  # fmt: skip
def test_a_stand_in_is_written_and_named(tmp_path, capsys, what, made):
    assert prepare.main([what, str(tmp_path / "out"), "--size", "40", "--seed", "3"]) == 0
    assert (tmp_path / "out" / made).is_file()
    assert "stand-in" in capsys.readouterr().out


def test_real_pictures_are_taken_where_they_are(tmp_path, mnist_folder, capsys):
    prepare.main(["pictures", str(tmp_path / "out"), "--fetched", str(mnist_folder), "--size", "8"])
    assert capsys.readouterr().out.endswith("pictures from MNIST\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train", "test"}


def test_a_size_gives_so_many_rows_below_a_header(tmp_path):
    prepare.main(["houses", str(tmp_path), "--size", "25"])
    assert len((tmp_path / "houses.csv").read_text().splitlines()) == 26
