"""`strongroom-pf-crypt`: a drop-in for gramine-sgx-pf-crypt, with its modes, flags and kind of messages.

  strongroom-pf-crypt gen-key -w WRAPKEYFILE
  strongroom-pf-crypt encrypt -w WRAPKEYFILE -i IN -o OUT
  strongroom-pf-crypt decrypt -w WRAPKEYFILE -i IN -o OUT [-V]

What differs, on purpose: output appears only when it is whole; decrypted files are readable by their owner alone;
gen-key never replaces a file; nothing is encrypted under a publicly known key; files are written in format v1, which
every Gramine reads (--format v2 for Gramine 1.9 and later). Exit status: 0 done, 255 for any failure (the original
returns -1).
"""

from __future__ import annotations

import getopt
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from strongroom import sealing
from strongroom.cli.frame import INTERRUPTED, Misuse, guarded
from strongroom.errors import StrongroomError
from strongroom.secret import Secret

FAILED = 255
MODES = ("gen-key", "encrypt", "decrypt")
USAGE = """
Usage: strongroom-pf-crypt mode [options]
Available modes:
  gen-key                 Make a wrap key and save it to a file
  encrypt                 Encrypt plaintext files
  decrypt                 Decrypt encrypted files

Options of every mode:
  --help, -h              Print this help
  --verbose, -v           Say more
  --wrap-key, -w PATH     Wrap key file: 16 raw bytes

Options of encrypt and decrypt:
  --input, -i PATH        File, or folder of files, to convert
  --output, -o PATH       File, or folder, to write to

Options of encrypt:
  --format v1|v2          Format version (default: v1; v2 needs Gramine 1.9 or later)

Options of decrypt:
  --verify, -V            Check that the input path is the path inside the file

encrypt stores the path given with -o, normalised, inside the file: the manifest must mount exactly this path.
Exit status: 0 done, 255 failed.
"""
SHORT = "i:o:w:Vvh"
LONG = ("input=", "output=", "wrap-key=", "verify", "verbose", "help", "format=")
SAME = {"-i": "--input", "-o": "--output", "-w": "--wrap-key", "-V": "--verify", "-v": "--verbose", "-h": "--help"}
# What gramine-sgx-pf-crypt calls our kinds of failure.
CALLED = {
    "invalid_header": "Invalid header",
    "invalid_version": "Invalid version",
    "invalid_path": "Invalid path",
    "mac_mismatch(metadata)": "Callback failed",
    "mac_mismatch(root_mht)": "Callback failed",
    "mac_mismatch(mht)": "File is corrupted",
    "corrupted(data)": "File is corrupted",
    "truncated": "File is corrupted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A command line of the original, parsed."""

    mode: str
    key: Path
    input: str
    output: str
    version: int
    verify: bool
    verbose: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return 0, or 255 for any failure (130 if interrupted)."""
    words = list(sys.argv[1:] if argv is None else argv)
    status = guarded(lambda: run(words))
    return status if status in {0, INTERRUPTED} else FAILED


def run(words: list[str]) -> int:
    """Parse the words and do what they say."""
    options = parse(words)
    if options is None:
        sys.stdout.write(USAGE)
        return 0
    if options.mode == "gen-key":
        sealing.new_wrap_key(options.key)
        say(f"Wrap key saved to: {options.key}")
        return 0
    key = sealing.read_wrap_key(options.key)
    convert = encrypt if options.mode == "encrypt" else decrypt
    for source, target in files(options.input, options.output):
        convert(source, target, key, options)
    return 0


def parse(words: list[str]) -> Options | None:
    """Return the options, or None for help; raises `Misuse`."""
    try:
        pairs, rest = getopt.gnu_getopt(words, SHORT, LONG)
    except getopt.GetoptError as problem:
        raise Misuse(str(problem)) from problem
    given = {SAME.get(name, name): value for name, value in pairs}
    if "--help" in given:
        return None
    if len(rest) != 1 or rest[0] not in MODES:
        raise Misuse("Mode not specified" if not rest else f"no such mode: {' '.join(rest)[:64]!r}")
    if not given.get("--wrap-key"):
        raise Misuse("Wrap key path not specified")
    if rest[0] != "gen-key" and not (given.get("--input") and given.get("--output")):
        raise Misuse("Input or output path not specified")
    if given.get("--format", "v1") not in {"v1", "v2"}:
        raise Misuse("--format is v1 or v2")
    return Options(
        mode=rest[0],
        key=Path(given["--wrap-key"]),
        input=given.get("--input", ""),
        output=given.get("--output", ""),
        version=2 if given.get("--format") == "v2" else 1,
        verify="--verify" in given,
        verbose="--verbose" in given,
    )


def files(source: str, target: str) -> Iterator[tuple[str, str]]:
    """Yield every file of `source` with its output path; make the folders that are needed on the way."""
    if not Path(source).is_dir():
        yield source, target
        return
    inside = sorted(Path(source).iterdir())  # listed before `target` is made, which may lie inside
    Path(target).mkdir(exist_ok=True)
    for below in inside:
        if below.is_dir() or below.is_file():
            yield from files(f"{source}/{below.name}", f"{target}/{below.name}")
        else:
            say(f"Skipping non-regular file {below}")


def encrypt(source: str, target: str, key: Secret, options: Options) -> None:
    """Encrypt one file; the path inside is the normalised output path, where the file is written."""
    path = sealing.normalise(target)
    say(f"Encrypting: {source} -> {path}")
    say(f'            (Gramine\'s encrypted files must contain this exact path: "{path}")')
    attempt(
        "pf_encrypt_file: Encrypting failed",
        lambda: sealing.encrypt_file(Path(source), Path(path), key, stored_path=path, version=options.version),
        options,
    )


def decrypt(source: str, target: str, key: Secret, options: Options) -> None:
    """Decrypt one file; the path inside is checked only with --verify, as in the original."""
    say(f"Decrypting: {source} -> {target}")
    expected = source if options.verify else None  # as given, or normalised: tools before 1.4 stored `./e` as it was
    try:
        sealing.check_wrap_key(key)
    except sealing.WeakKey as weak:  # a file of the seeds must open, if only to be sealed under another key
        sys.stderr.write(f"strongroom: notice: {weak.sentence}: anyone can read {source!a}; {weak.fix}\n")
    attempt(
        "pf_decrypt_file: Opening protected input file failed",
        lambda: sealing.decrypt_file(Path(source), Path(target), key, stored_path=expected, weak_key=True),
        options,
    )


def attempt(failing: str, action: Callable[[], sealing.Summary], options: Options) -> None:
    """Run `action`; if it fails, first say so in the words of the original."""
    try:
        summary = action()
    except StrongroomError as error:
        called = CALLED.get(getattr(error, "kind", ""), error.sentence)
        sys.stderr.write(f"{failing}: {called}\n")
        raise
    if options.verbose:
        say(f"            {summary.size} bytes, format v{summary.version}, pin {summary.pin.hex()}")


def say(sentence: str) -> None:
    """Print one line of progress, as the original does on standard output."""
    sys.stdout.write(sentence + "\n")
