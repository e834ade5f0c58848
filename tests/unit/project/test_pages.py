"""Pages show no switch that turns a protection off: what is printed is copied (threat SA-18)."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INSECURE = re.compile(
    r"--insecure|\bcurl\b.*\s-[a-zA-Z]*k\b|--no-check-certificate|verify=False|CERT_NONE|privileged: *true"
    r"|RA_TLS_ALLOW_|insecure__|use_secure_cert\"? *[:=] *(false|FALSE)"
    r"|--no-verify|chmod (-R )?0?777|sgx\.debug *= *(true|1)"
)
SHOWN_TO_BE_REFUSED = {("measurements.md", "insecure__")}  # the linter's own example, with its refusal below


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_sa_18_no_block_of_a_page_turns_a_protection_off(page):
    found = [
        f"{line} ({match[0]})"
        for block in BLOCK.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        for match in [INSECURE.search(line)]
        if match and (page.name, match[0]) not in SHOWN_TO_BE_REFUSED
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "strongroom serve --insecure", "curl -sk https://localhost:8501", "privileged: true",
        "RA_TLS_ALLOW_OUTDATED_TCB_INSECURE=1", "loader.insecure__use_cmdline_argv = true",
        '"use_secure_cert": false', "sgx.debug = true",
    ],
)  # fmt: skip
def test_sa_18_what_turns_a_protection_off_is_recognised(line):
    assert INSECURE.search(line)
