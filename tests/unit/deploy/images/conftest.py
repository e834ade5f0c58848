"""Archives as builders write them, made by hand: layers of files, links and deletions."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa


def layer_of(files):
    """Return a layer's tar: bytes are files, ("link", TARGET) symbolic and ("hard", TARGET) hard links."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        for path, what in files.items():
            member = tarfile.TarInfo(path)
            if isinstance(what, bytes):
                member.size = len(what)
                layer.addfile(member, io.BytesIO(what))
            else:
                kind, member.linkname = what
                member.type = tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE
                layer.addfile(member)
    return content.getvalue()


def put(outer, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    outer.addfile(member, io.BytesIO(content))


@pytest.fixture
def archive_of(tmp_path):
    """Return a function that writes an archive of layers, each a mapping of path to content."""
    made = []

    def write(*layers, config=None) -> Path:
        place = tmp_path / f"image-{len(made)}.tar"
        made.append(place)
        names = [f"{number}.tar" for number in range(len(layers))]
        with tarfile.open(place, mode="w") as outer:
            put(outer, "config.json", json.dumps(config or {"config": {}}).encode())
            for name, files in zip(names, layers, strict=True):
                put(outer, name, files if isinstance(files, bytes) else layer_of(files))
            listed = [{"Config": "config.json", "RepoTags": ["localhost/x:1"], "Layers": names}]
            put(outer, "manifest.json", json.dumps(listed).encode())
        return place

    return write


@pytest.fixture(scope="session")
def enclave_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=3, key_size=3072)
