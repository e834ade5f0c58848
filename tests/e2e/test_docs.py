"""Every command printed in the README and in docs/ runs as written.

The `sh` blocks of a page are one session in an empty folder with an empty home. A line that starts a server ends in
`&`; what a page leaves running is ended with its process group. `make` lines of the README are what CI itself runs, so
here it is enough that make knows them. The printed port numbers are replaced by free ones; all else is as written.

A page that measures every installed package runs in an environment of what it uses, as after `make demo`: all engines
are three gigabytes, which would be hashed at each measuring and at each launch, and show nothing more.
"""

import importlib.metadata
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRINTED = ("4433", "8080", "8081", "8443", "8500", "8501")
PORT = re.compile(rf"\b({'|'.join(PRINTED)})\b")
SAYS = {
    "analytics-walk-through.md": "price of this house: 2.661",
    "queue.md": "daisy",
    "queue-sealed.md": "sample/flower.jpg: predict [1000]",
}  # what a page's commands have to find, besides ending well
PAGE_DEADLINE_S = 240
END_DEADLINE_S = 20
NEEDS = {"converting.md": "tensorflow"}  # not made for every version of Python
MEASURES_PACKAGES = '"file:$packages/"'
EXTRAS = ("demo", "streaming")  # of what such pages use


def pages() -> list[Path]:
    found = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return [page for page in found if BLOCK.search(page.read_text(encoding="utf-8"))]


def script(page: Path) -> str:
    blocks = "".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    blocks = re.sub(r"^make ", f"make -C {REPOSITORY} --dry-run ", blocks, flags=re.MULTILINE)
    free = dict(zip(PRINTED, free_ports(len(PRINTED)), strict=True))
    return PORT.sub(lambda found: free[found[0]], blocks)


def free_ports(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def installed_with(name: str, extras: tuple[str, ...], found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Add to `found` the distribution `name`, and what it and its `extras` require, each with its own extras."""
    known = found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set())
    if not known >= {"", *extras}:
        known |= {"", *extras}
        for line in importlib.metadata.requires(name) or []:
            wanted = Requirement(line)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                installed_with(wanted.name, tuple(wanted.extras), found)
    return found


@pytest.fixture(scope="session")
def small_environment(tmp_path_factory) -> Path:
    """Return the programs' folder of an environment with Strongroom, `EXTRAS`, and no other package."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("platlib", vars={"platbase": str(folder)}))
    files = [file for name in installed_with("strongroom", EXTRAS, {}) for file in importlib.metadata.files(name) or []]
    places = {packages / file: Path(file.locate()) for file in files if not {"..", "__pycache__"} & set(file.parts)}
    for here, there in {place.parent: file.parent for place, file in places.items()}.items():
        here.mkdir(parents=True, exist_ok=True)
        if (there / "__pycache__").is_dir():  # compiled already; not measured
            (here / "__pycache__").symlink_to(there / "__pycache__")
    for place, file in places.items():
        place.symlink_to(file)
    programs = Path(sys.executable).parent
    script = folder / "bin" / "strongroom"
    script.write_text((programs / "strongroom").read_text().replace(str(programs), str(script.parent)))
    script.chmod(0o755)
    return script.parent


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_sa_18_every_command_of_the_page_runs(page, tmp_path, request):
    if importlib.util.find_spec(NEEDS.get(page.name, "strongroom")) is None:
        pytest.skip(f"{page.name} needs {NEEDS[page.name]}")
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    commands = script(page)
    small = MEASURES_PACKAGES in commands
    programs = request.getfixturevalue("small_environment") if small else Path(sys.executable).parent
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHON": str(programs / "python"),
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-x", "-c", commands],
            cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            status = shell.wait(timeout=PAGE_DEADLINE_S)
        finally:
            end_group(shell.pid)
    said = log.read_text(encoding="utf-8", errors="replace")
    assert status == 0, said[-6000:]
    assert SAYS.get(page.name, "") in said


def end_group(group: int) -> None:
    """End what the page left running: the servers it started with `&`; wait until they are gone."""
    deadline = time.monotonic() + END_DEADLINE_S
    try:
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
    pytest.fail("a server of the page did not end on SIGTERM")


def test_links_between_pages_lead_somewhere():
    for page in [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
