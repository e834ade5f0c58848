"""An image's files as a program in it would find them, each as its SHA-256: layers on each other, links followed.

Built once from an archive (`archive.members`); what a pod adds at its start, such as sealed models, is laid over it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from strongroom.deploy.images.archive import OPAQUE, WHITEOUT, Member

MAX_LINKS: Final = 40  # as Linux: more than that is a circle
_CHUNK: Final = 1024 * 1024


class TreeView:
    """Files by path without a slash before it; `digest` and `below` follow links, as opening a file does."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}
        self._links: dict[str, str] = {}

    def add(self, path: str, digest: str) -> None:
        """Lay a file over what is there."""
        self._links.pop(path, None)
        self._digests[path] = digest

    def lay(self, layered: Iterable[Member]) -> None:
        """Lay all layers on each other, lowest first."""
        for member in layered:
            folder, _, name = member.path.rpartition("/")
            if name == OPAQUE:
                self._remove_below(folder)
            elif name.startswith(WHITEOUT):
                gone = f"{folder}/{name.removeprefix(WHITEOUT)}".removeprefix("/")
                self._remove_below(gone)
                self._digests.pop(gone, None)
                self._links.pop(gone, None)
            elif member.is_file:
                self.add(member.path, _digest(member))
            elif member.is_hard_link:
                self.add(member.path, self._digests.get(_plain(member.link or ""), ""))
            elif member.link is not None:
                self._digests.pop(member.path, None)
                self._links[member.path] = member.link

    def lay_folder(self, name: str, folder: Path) -> None:
        """Lay a folder of this machine, without its links, over `name`: what a pod mounts there."""
        for place in folder.rglob("*"):
            if place.is_file() and not place.is_symlink():
                with place.open("rb") as stream:
                    self.add(f"{name}/{place.relative_to(folder).as_posix()}", _digest_of(stream))

    def digest(self, path: str) -> str | None:
        """Return the SHA-256 (hex) of the file that an absolute path leads to; None where there is none."""
        found = self._resolve(path)
        return None if found is None else self._digests.get(found)

    def below(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (path below `folder`, SHA-256) of every file there, sorted; links to folders are not entered."""
        place = self._resolve(folder)
        if place is None:
            return
        prefix = f"{place}/" if place else ""
        for path in sorted({*self._digests, *self._links}):
            digest = self.digest(f"/{path}") if path.startswith(prefix) else None
            if digest:
                yield path.removeprefix(prefix), digest

    def _resolve(self, path: str) -> str | None:
        """Return where a path leads once every link on the way is followed; None for a circle."""
        waiting = [part for part in reversed(path.split("/")) if part not in {"", "."}]
        place: list[str] = []
        followed = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                place = place[:-1]
                continue
            place.append(part)
            link = self._links.get("/".join(place))
            if link is None:
                continue
            followed += 1
            if followed > MAX_LINKS:
                return None
            place = [] if link.startswith("/") else place[:-1]
            waiting += [each for each in reversed(link.split("/")) if each not in {"", "."}]
        return "/".join(place)

    def _remove_below(self, folder: str) -> None:
        prefix = f"{folder}/" if folder else ""
        for known in (self._digests, self._links):
            for path in [each for each in known if each.startswith(prefix)]:
                del known[path]


def _plain(path: str) -> str:
    return path.removeprefix("./").strip("/")


def _digest(member: Member) -> str:
    with member.open() as stream:
        return _digest_of(stream)


def _digest_of(stream: IO[bytes]) -> str:
    state = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        state.update(chunk)
    return state.hexdigest()
