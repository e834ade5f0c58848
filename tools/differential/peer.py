"""The second opinion, in a process of its own: dcap-qvl aborts the whole process on some wrong revocation lists.

`python peer.py` reads one case a line on standard input and answers one opinion a line on standard output, both JSON.
`Peer` starts it, asks, and starts it again when it died of a case, which counts as a refusal.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Peer:
    """dcap-qvl behind a pipe. A context manager, so that no process stays behind."""

    def __init__(self) -> None:
        self._process = self._start()
        self.crashes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def ask(self, quote: bytes, collateral: dict[str, str], root: bytes, at: int) -> dict[str, Any]:
        """Return {"status", "advisories"} or {"error"} for one piece of evidence judged at Unix time `at`."""
        case = {"quote": _text(quote), "collateral": collateral, "root": _text(root), "at": at}
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the peer was started without pipes")
        stdin.write(json.dumps(case).encode() + b"\n")
        stdin.flush()
        line = stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.crashes += 1
        self._stop()
        self._process = self._start()
        return {"error": "the process died"}

    def _start(self) -> subprocess.Popen[bytes]:
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        return subprocess.Popen([sys.executable, Path(__file__)], stdin=pipe, stdout=pipe, stderr=none)

    def _stop(self) -> None:
        with self._process as process:  # closes the pipes, which ends it, and waits
            pass
        if process.returncode not in {0, -6}:
            raise RuntimeError(f"the peer ended with status {process.returncode}")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    import dcap_qvl

    quote, root = base64.b64decode(case["quote"]), base64.b64decode(case["root"])
    try:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(json.dumps(case["collateral"]))
        verifier, policy = dcap_qvl.QuoteVerifier(root), dcap_qvl.QuotePolicy.claims_only(case["at"])
        claims = verifier.verify_with_policy(quote, collateral, case["at"], policy)
    except ValueError as refused:
        return {"error": str(refused)}
    tcb = json.loads(claims.to_json())["tcb"]
    return {"status": tcb["status"], "advisories": tcb["advisory_ids"]}


def main() -> None:
    """Answer until standard input ends."""
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
