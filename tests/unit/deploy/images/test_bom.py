"""The bill of materials: CycloneDX, complete, the same each time, whatever stands in the files it is read from."""

import hashlib
import json
import re

from strongroom.deploy.description import Role
from strongroom.deploy.images import bom

SITE = "opt/strongroom/lib/python3.11/site-packages"
FILES = {
    "var/lib/dpkg/status": b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\n"
    b"Version: 2.36-9+deb12u14\nDescription: C library\n Version: 9\n\n"
    b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
    f"{SITE}/numpy-2.4.6.dist-info/METADATA": b"Metadata-Version: 2.4\nName: NumPy\nVersion: 2.4.6\n\nText\n",
    f"{SITE}/numpy-2.4.6.dist-info/RECORD": b"numpy/__init__.py,sha256=abc,1\n",
    "models/resnet50/3/bundle.json": b'{"name": "resnet50"}',
}


def rendered(files=FILES, **more):
    return json.loads(bom.render(files, role=Role.MODEL_SERVER, reference="localhost:5000/x:1", **more))


def test_packages_distributions_and_models_are_listed_once_each():
    found = {each["bom-ref"]: each for each in rendered()["components"]}
    assert list(found) == [
        "model/resnet50/3", "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64", "pkg:pypi/numpy@2.4.6",
    ]  # fmt: skip
    assert found["pkg:pypi/numpy@2.4.6"]["properties"] == [
        {"name": "strongroom:record-sha256", "value": hashlib.sha256(b"numpy/__init__.py,sha256=abc,1\n").hexdigest()}
    ]
    assert found["model/resnet50/3"]["hashes"] == [
        {"alg": "SHA-256", "content": hashlib.sha256(b'{"name": "resnet50"}').hexdigest()}
    ]


def test_it_has_the_fields_that_cyclonedx_1_6_asks_for():
    found = rendered(measurement=json.dumps({"mr_enclave": "ab" * 32}).encode())
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    image = found["metadata"]["component"]
    assert (image["type"], image["name"]) == ("container", "strongroom-model-server")
    assert image["properties"] == [{"name": "strongroom:mr_enclave", "value": "ab" * 32}]
    references = [each["bom-ref"] for each in found["components"]]
    assert len(references) == len(set(references))
    assert found["dependencies"] == [{"ref": "image", "dependsOn": references}]
    for each in found["components"]:
        assert each["type"] in {"library", "machine-learning-model"}
        assert each["name"]
        assert each["version"]
        for digest in each.get("hashes", []):
            assert digest["alg"] == "SHA-256"
            assert re.fullmatch(r"[0-9a-f]{64}", digest["content"])


def test_the_same_image_gives_the_same_bytes_in_whatever_order_its_files_come():
    turned = dict(reversed(FILES.items()))
    assert bom.render(FILES, role=Role.BROKER, reference="x") == bom.render(turned, role=Role.BROKER, reference="x")


def test_it_is_read_from_what_remains_of_an_image(archive_of):
    archive = archive_of(FILES, {"models/resnet50/3/.wh.bundle.json": b""})
    found = json.loads(bom.of_archive(archive, role=Role.BROKER, reference="x", measurement=None))
    assert len(found["components"]) == 2


def test_files_that_are_not_what_they_should_be_list_nothing_and_break_nothing():
    odd = {"var/lib/dpkg/status": b"\xff\xfe: \n\n: \n", f"{SITE}/x.dist-info/METADATA": b"\xff\x00"}
    assert [each["type"] for each in rendered(odd)["components"]] in ([], ["library"])
