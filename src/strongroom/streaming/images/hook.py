"""An owner's own Python between record and model: `prepare(inputs)` and `answer(outputs)`, measured before it runs.

The file's SHA-256 stands in the configuration (`hookSha256`), and the configuration is measured with the worker: so
the code that sees clear inputs is the code that was meant. The bytes that were hashed are the ones that run.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from strongroom.clusterserving.faults import ModelError, trail
from strongroom.clusterserving.values import Array
from strongroom.errors import BadInput, Tampered

MAX_HOOK_BYTES: Final = 1024 * 1024
_log: Final = logging.getLogger("strongroom.queue.hook")


class HookUnusable(BadInput):
    """The hook (hookFile) cannot be loaded, or its digest is not named in the configuration."""

    code = "SR-QUEUE-HOOK"
    fix = "Give a Python file with prepare(inputs) or answer(outputs), and its SHA-256 as hookSha256 (sha256sum FILE)."


class HookChanged(Tampered):
    """The hook (hookFile) is not the file whose digest the configuration names."""

    code = "SR-QUEUE-HOOK-DIGEST"
    fix = "Put the file back that was meant, or name the new one's SHA-256 as hookSha256 and measure the worker anew."


class Hook:
    """A loaded hook. Without one of the two functions, that side changes nothing."""

    def __init__(self, prepare: Callable[..., Any] | None, answer: Callable[..., Any] | None) -> None:
        self._prepare, self._answer = prepare, answer

    @classmethod
    def load(cls, path: Path, digest: str) -> Hook:
        """Return the hook in a file, once and for all. Raises HookUnusable, or HookChanged for another digest."""
        if not digest:
            raise HookUnusable(f"{path.name} is named as hookFile without hookSha256: unmeasured code does not run")
        try:
            with path.open("rb") as file:
                source = file.read(MAX_HOOK_BYTES + 1)
        except OSError as problem:
            raise HookUnusable(f"{path} cannot be read: {problem.strerror}") from None
        if len(source) > MAX_HOOK_BYTES:
            raise HookUnusable(f"{path.name} is longer than {MAX_HOOK_BYTES} bytes")
        seen = hashlib.sha256(source).hexdigest()
        if not hmac.compare_digest(seen.encode(), digest.lower().removeprefix("sha256:").encode()):
            raise HookChanged(f"{path.name} has the SHA-256 {seen}, not {digest[:80]}")
        return cls._of(_module(source, path))

    @classmethod
    def _of(cls, module: ModuleType) -> Hook:
        prepare, answer = (getattr(module, name, None) for name in ("prepare", "answer"))
        if prepare is None and answer is None:
            raise HookUnusable("the hook has neither prepare(inputs) nor answer(outputs)")
        if not all(each is None or callable(each) for each in (prepare, answer)):
            raise HookUnusable("prepare and answer of a hook are functions")
        return cls(prepare, answer)

    @property
    def prepares(self) -> bool:
        """Whether it has a `prepare`."""
        return self._prepare is not None

    def prepare(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the hook makes of one instance's inputs, without batch dimension. Raises ModelError."""
        if self._prepare is None:
            return inputs
        made = _called(self._prepare, dict(inputs), "prepare")
        if not isinstance(made, Mapping) or not made or not all(isinstance(name, str) for name in made):
            raise ModelError("the hook's prepare returned no inputs by name")
        return {name: each if isinstance(each, np.ndarray) else np.asarray(each) for name, each in made.items()}

    def answer(self, outputs: Mapping[str, Array]) -> Mapping[str, Array] | str:
        """Return what the hook makes of one record's outputs: others, or the answer's text. Raises ModelError."""
        if self._answer is None:
            return outputs
        made = _called(self._answer, dict(outputs), "answer")
        if isinstance(made, str):
            return made
        if not isinstance(made, Mapping) or not made or not all(isinstance(name, str) for name in made):
            raise ModelError("the hook's answer returned neither outputs by name nor text")
        return {name: np.asarray(each) for name, each in made.items()}


def _module(source: bytes, path: Path) -> ModuleType:
    module = ModuleType("strongroom_hook")
    module.__file__ = str(path)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  # these very bytes were measured
    except Exception as problem:  # noqa: BLE001  # an owner's code may raise anything
        raise HookUnusable(f"{path.name} does not load: {type(problem).__name__}: {str(problem)[:200]}") from None
    return module


def _called(function: Callable[..., Any], value: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    """Call an owner's function; what it raises may quote inputs, so the peer is told its type alone."""
    try:
        return function(value)
    except Exception as problem:  # noqa: BLE001  # an owner's code may raise anything
        _log.warning("the hook's %s failed: %s", name, trail(problem))
        raise ModelError(f"the hook's {name} failed: {type(problem).__name__}") from None
