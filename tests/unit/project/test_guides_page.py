"""docs/coming-from-the-guides.md leaves nothing of the guides out, and names no command that is not there."""

import re
from pathlib import Path

import pytest

from strongroom.cli.contents import CONTENTS

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs" / "coming-from-the-guides.md").read_text(encoding="utf-8")
SCRIPT = re.compile(
    r"[A-Za-z0-9_./-]+\.(?:sh|py|ya?ml|json|conf|dockerfile|template|cfg|tar|jar|bin|jks|pkcs12|crt|csr)\b"
)
HOSTS = {"sgx-dcap-server-tc.sh"}  # a host of Tencent Cloud, not a script
GUIDES = REPOSITORY.parent / "shared" / "seeds"


@pytest.mark.skipif(not GUIDES.is_dir(), reason="the texts of the guides do not lie beside this checkout")
def test_every_script_and_file_of_the_guides_is_on_the_page():
    named = {
        Path(found).name
        for guide in sorted(GUIDES.glob("*.txt"))
        for found in SCRIPT.findall(guide.read_text(encoding="utf-8"))
    }
    assert len(named) > 60
    assert sorted(name for name in named - HOSTS if name not in PAGE) == []


def test_every_command_on_the_page_exists_or_is_said_not_to():
    verbs = {verb.words for _, part in CONTENTS for verb in part}
    for line in PAGE.splitlines():
        for said in re.findall(r"`strongroom ((?:[a-z][a-z-]* ?)+)", line):
            words = said.split()
            known = any(" ".join(words[:count]) in verbs for count in (1, 2, 3))
            assert known or "not there yet" in line, f"strongroom {said}"
