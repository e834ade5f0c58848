"""The corpus is read without the paths that mails took, generated mails stand in for it, and both kinds are even."""

import json

import pytest

from strongroom.analytics.learning import mails
from strongroom.analytics.learning.mails import BadMail, Mail

RAW = "Return-Path: <list@example.org>\nSubject:  Lunch?\nReceived: by secret-relay\n\nAt noon?\nSubject: no"


@pytest.fixture
def corpus(tmp_path):
    """One mail a group."""
    for group in mails.GROUPS:
        (tmp_path / "data" / group).mkdir(parents=True)
        (tmp_path / "data" / group / "00001.ab.json").write_text(json.dumps({"id": "1", "group": group, "text": RAW}))
    return tmp_path


def test_only_subject_and_body_of_a_mail_are_kept():
    assert mails.subject_and_body(RAW) == "Lunch?\nAt noon?\nSubject: no"
    assert mails.subject_and_body("no head") == "\n"
    assert mails.subject_and_body(RAW.replace("\n", "\r\n")) == "Lunch?\nAt noon?\nSubject: no"


def test_every_group_is_read_and_two_of_five_are_spam(corpus):
    assert mails.has_corpus(corpus)
    assert [mail.spam for mail in mails.corpus(corpus)] == [False, False, False, True, True]


def test_a_folder_without_the_corpus_is_told(tmp_path):
    assert not mails.has_corpus(tmp_path)
    with pytest.raises(BadMail) as refused:
        mails.corpus(tmp_path)
    assert refused.value.code == "SR-LEARN-MAIL"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"text": 1}', b"\xff\xfe", b'{"text": "a"'],
                         ids=["empty", "list", "no text", "number", "no utf-8", "cut"])  # fmt: skip
def test_a_file_that_is_no_mail_is_refused(corpus, content):
    (corpus / "data" / "spam-1" / "00001.ab.json").write_bytes(content)
    with pytest.raises(BadMail):
        mails.corpus(corpus)


def test_a_text_that_no_encoding_has_is_still_written(corpus):
    (corpus / "data" / "spam-1" / "00001.ab.json").write_bytes(b'{"text": "Subject: a\\n\\n\\ud800b"}')
    mails.write_parquet(corpus / "out", mails.corpus(corpus))


def test_balanced_mails_are_half_spam_and_the_same_for_one_seed():
    many = [Mail(f"mail {number}", number < 30) for number in range(100)]
    chosen = mails.balanced(many, size=41, seed=4)
    assert sorted(mail.spam for mail in chosen) == [False] * 20 + [True] * 20
    assert chosen == mails.balanced(many, size=41, seed=4) != mails.balanced(many, size=41, seed=5)
    assert len(mails.balanced(many)) == 60


def test_generated_mails_are_half_spam_and_no_word_tells_alone():
    made = mails.generated(400, seed=1)
    assert sum(mail.spam for mail in made) == 200
    assert made == mails.generated(400, seed=1) != mails.generated(400, seed=2)
    for word in ("free", "patch"):
        assert {mail.spam for mail in made if word in mail.text.split()} == {True, False}
