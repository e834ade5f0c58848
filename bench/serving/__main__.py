"""Measure the model server beside its peers: `make bench-serving`, or `cd bench && python -m serving --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from harness import RESULTS
from serving import markdown, results
from serving.measure import FULL, QUICK, TRIAL
from serving.parts import PARTS, Findings, Setting
from serving.plot import plot
from serving.tls_files import write_tls


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs: an impression, no result")
    parser.add_argument("--trial", action="store_true", help="shorter still: shows that it works, numbers mean nothing")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, with commas: {', '.join(PARTS)}")
    parser.add_argument("--no-peers", action="store_true", help="neither install nor start Triton and MLServer")
    parser.add_argument("--results", type=Path, help="folder for serving.json and serving.png")
    found = parser.parse_args(argv)
    if unknown := set(found.only.split(",")) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return found


def main(argv: list[str]) -> int:
    """Run the parts, then write and show what they found. Whole runs are results; others have a name of their own."""
    args = arguments(argv)
    effort, parts = TRIAL if args.trial else QUICK if args.quick else FULL, args.only.split(",")
    whole = effort is FULL and not args.no_peers and len(parts) == len(PARTS)
    findings, before = Findings(), results.machine()
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as name:
        write_tls(Path(name))
        setting = Setting(Path(name), effort, not args.no_peers, lambda text: print(f"-- {text}", flush=True))
        for part in parts:
            PARTS[part](findings, setting)
    written = results.document(findings, effort, f"python -m serving {' '.join(argv)}".strip(), before)
    path = (args.results or RESULTS) / ("serving.json" if whole else "serving-quick.json")
    results.write(path, written)
    plot(written, path.with_suffix(".png"))
    if whole and args.results is None:
        markdown.update()
    results.show(findings)
    print(f"written: {path} and {path.with_suffix('.png').name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
