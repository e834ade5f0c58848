"""A new version of the program: built from changed sources, rolled out under load; the old one gets no key any more."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any, Final

from kube.images import Images
from kube.intruders import Intrusion
from kube.journey import Journey
from strongroom.broker.admission import REVOKED

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ("src", "pyproject.toml", "uv.lock", "hatch_build.py", "README.md", "LICENSE")
CHANGED: Final = Path("src/strongroom/serving/__init__.py")
WATCH_S: Final = 10


class Rollout:
    """From v1 to v2."""

    def __init__(self, journey: Journey, images: Images) -> None:
        self.journey, self.images = journey, images
        self._old_image = ""

    def roll_out(self) -> None:
        """Build v2 and roll it out while clients call."""
        journey = self.journey
        self._old_image = Intrusion(journey).image()
        journey.owner.sources = self._changed_sources()
        found = self.images.build("v2", "model-server")
        journey.owner.sources = None
        journey.measurements["v2"] = found["mr_enclave"]
        journey.results.check("the new version has another measurement", len(set(journey.measurements.values())) == 2,
                              {version: value[:16] for version, value in journey.measurements.items()})  # fmt: skip
        with journey.step("roll out v2") as times:
            said = journey.owner.strongroom("deploy", "rollout", "--watch", str(WATCH_S), "--json")
            self._note(json.loads(said), times)
        self._all_run_the_new_version()

    def _note(self, done: dict[str, Any], times: dict[str, float]) -> None:
        times.update({each["step"]: each["seconds"] for each in done["steps"]})
        self.journey.results.check(
            "the rollout finished", done["stands_at"] == "finished", done["why"] or done["proof"]
        )
        self.journey.results.check("an old replica, started once more, was refused", bool(done["proof"]), done["proof"])

    def _all_run_the_new_version(self) -> None:
        status = json.loads(self.journey.owner.strongroom("deploy", "status", "--json"))
        staying = {each["metadata"]["name"] for each in self.journey.pods()}  # old ones may still end their calls
        replicas = [each for each in status["replicas"] if each["pod"] in staying]
        seen = {str((each.get("proof") or {}).get("measurement")) for each in replicas}
        new = self.journey.measurements["v2"]
        self.journey.results.check("every replica proved the new measurement", seen == {new},
                                   [each[:16] for each in seen])  # fmt: skip

    def try_old(self) -> None:
        """Run the image of before beside the new replicas: its measurement is revoked."""
        with self.journey.step("an old replica"):
            Intrusion(self.journey).try_one("intruder-old", "yesterday's image", self._old_image, REVOKED)

    def _changed_sources(self) -> Path:
        """Copy this program's sources and change one line of them."""
        target = self.journey.owner.folder / "v2"
        target.mkdir()
        for name in SOURCES:
            source = REPOSITORY / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target / name)
        with (target / CHANGED).open("a", encoding="utf-8") as file:
            file.write(f"\n# The second version, of {time.strftime('%Y-%m-%d')}.\n")
        return target
