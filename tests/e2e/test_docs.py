"""Every command printed in the README and in docs/ runs as written.

How a page is followed stands in conftest.py. A line that starts a server ends in `&`. `make` lines of the README are
what CI itself runs, so here it is enough that make knows them.

A page that measures every installed package runs in an environment of what it uses, as after `make demo`: all engines
are three gigabytes, which would be hashed at each measuring and at each launch, and show nothing more.
"""

import importlib.metadata
import importlib.util
import os
import re
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh$", re.MULTILINE)
SAYS = {
    "analytics.md": "| 29|    1|",
    "queue.md": "daisy",
    "queue-sealed.md": "sample/flower.jpg: predict [1000]",
}  # what a page's commands have to find, besides ending well
WALKED = {"analytics-walk-through.md"}  # followed by analytics/test_walk_through.py, which looks at what came of it
LONG = {"analytics-examples.md"}  # `make spark` follows them: examples, which test_examples.py runs at other sizes
NEEDS = {"converting.md": "tensorflow"}  # not made for every version of Python
MEASURES_PACKAGES = '"file:$packages/"'
ANALYTICS = "analytics"  # how the names of pages begin that run Spark
EXTRAS = ("demo", "streaming")  # of what such pages use


def pages() -> list[Path]:
    found = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return [page for page in found if page.name not in WALKED and BLOCK.search(page.read_text(encoding="utf-8"))]


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
def test_sa_18_every_command_of_the_page_runs(page, tmp_path, reader, request):
    if importlib.util.find_spec(NEEDS.get(page.name, "strongroom")) is None:
        pytest.skip(f"{page.name} needs {NEEDS[page.name]}")
    if page.name in LONG and not os.environ.get("STRONGROOM_SPARK_FULL"):
        pytest.skip("make spark follows it")
    commands = reader.script(page)
    small = MEASURES_PACKAGES in commands
    programs = request.getfixturevalue("small_environment") if small else Path(sys.executable).parent
    java = {}
    if page.name.startswith(ANALYTICS):  # what is compiled once for this machine is for all pages
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        java = {"JAVA_HOME": str(request.getfixturevalue("lean_java_home")), "XDG_CACHE_HOME": cache}
    status, said = reader.follow(commands, tmp_path, programs, **java)
    assert status == 0, said[-6000:]
    assert SAYS.get(page.name, "") in said


def test_links_between_pages_lead_somewhere():
    for page in [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
