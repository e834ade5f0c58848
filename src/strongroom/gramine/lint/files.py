"""Rules on files: what is unprotected, what overlaps, what the host could swap, what it chooses (ID-05 to ID-08)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from strongroom.gramine.lint.findings import Finding, Level, Rule
from strongroom.gramine.lint.subject import Mount, Subject, Uri, host_path, is_below, with_parents
from strongroom.gramine.lint.template import is_open

M03: Final = Rule(id="M03", level=Level.ERROR, title="files are allowed without protection")
M09: Final = Rule(id="M09", level=Level.ERROR, title="an encrypted mount overlaps other files on the host")
M15: Final = Rule(id="M15", level=Level.ERROR, title="the host chooses code, or what decides about code or peers")
M16: Final = Rule(id="M16", level=Level.ERROR, title="the path of an encrypted mount is not the one in its files")
M17: Final = Rule(id="M17", level=Level.WARNING, title="trusted files in a writable place; sealing to the signer")
M20: Final = Rule(id="M20", level=Level.WARNING, title="a variable comes from the host, unmeasured")

_SECRET: Final = re.compile(r"(^|/)ssl[^/]*\.cfg$|\.(pem|key|crt|cert|p12|pfx|jks)$", re.IGNORECASE)
_CODE: Final = re.compile(r"\.(so(\.[0-9.]+)?|py|pyc|jar|sh|bin|class|whl|js)$|/s?bin/", re.IGNORECASE)
_WHOLE: Final = ("", "/", "/etc", "/usr", "/lib", "/lib64", "/opt", "/home", "/root", "/var")
_CODE_VARIABLE: Final = re.compile(
    r"LD_|PYTHON|PERL5|RUBY|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH|NODE_OPTIONS|BASH_ENV|GCONV_PATH"
    r"|PATH\Z|ENV\Z|IFS\Z"
)
_TRUST_VARIABLE: Final = re.compile(
    r"SECRET_PROVISION_|RA_TLS_|SSL_CERT_|OPENSSL_|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|GRPC_DEFAULT_SSL_ROOTS|TF_|OMP_"
    r"|(HTTPS?|ALL|NO)_PROXY\Z", re.IGNORECASE,
)  # fmt: skip


def allowed(subject: Subject) -> Iterator[Finding]:
    """M03: neither measured nor protected; the host reads and changes such files at will (threat ID-06)."""
    for each in subject.allowed.entries:
        yield subject.finding(M03, each.place, f"{subject.plain.shown(each.uri)} is {_what(each)}: the host can read it"
                              " and change it unnoticed", "List what is read in sgx.trusted_files, put the rest on an"
                              " encrypted mount.")  # fmt: skip


def _what(entry: Uri) -> str:
    host = entry.host
    if host in _WHOLE:
        return "a whole system tree"
    if is_below(host, "/etc"):
        return "configuration of the system"
    if _SECRET.search(host):
        return "a key, certificate or TLS configuration"
    return "code" if _CODE.search(entry.uri) else "an unprotected file"


def overlaps(subject: Subject) -> Iterator[Finding]:
    """M09: one file would be reached both sealed and as it lies on the host."""
    sealed = [mount for mount in subject.encrypted() if mount.uri]
    others = [mount for mount in subject.mounts if mount.kind == "chroot" and not mount.is_root and mount.uri]
    for index, mount in enumerate(sealed):
        # sgx.protected_files are no mounts: they lie on the ordinary mount through which the program reaches them
        for other in [*sealed[:index], *(others if mount.path else ())]:
            if _touch(mount.host, other.host):
                yield _overlap(subject, mount, f"the {other.kind} mount {subject.name(other.place)}")
        for listed in (subject.trusted, subject.allowed):
            above = listed.covering(mount.host)
            if above is not None:
                yield _overlap(subject, mount, subject.name(above.place))
    by_host = {mount.host: mount for mount in sealed}
    for entry in [*subject.trusted.entries, *subject.allowed.entries]:
        inside = next((by_host[above] for above in with_parents(entry.host) if above in by_host), None)
        if inside is not None and inside.host != entry.host:
            yield _overlap(subject, inside, subject.name(entry.place))


def _touch(one: str, other: str) -> bool:
    return is_below(one, other) or is_below(other, one)


def _overlap(subject: Subject, mount: Mount, what: str) -> Finding:
    return subject.finding(M09, mount.place, f"{subject.plain.shown(mount.uri)} overlaps {what} on the host",
                           "Keep sealed files in a directory of their own.")  # fmt: skip


def host_chosen(subject: Subject) -> Iterator[Finding]:
    """M15 and M20: what runs, or whom it trusts, must not come from outside of the measurement (ID-07, ID-08)."""
    entrypoint = subject.get("libos", "entrypoint")
    if isinstance(entrypoint, str) and not subject.trusts(entrypoint):
        yield _untrusted(subject, ("libos", "entrypoint"), entrypoint)
    for path in _preloaded(subject):
        if not _library_trusted(subject, path):
            yield _untrusted(subject, ("loader", "env", "LD_PRELOAD"), path)
    for name in ("argv_src_file", "env_src_file"):
        source = subject.get("loader", name)
        if isinstance(source, str) and subject.trusted.covering(host_path(source)) is None:
            yield _untrusted(subject, ("loader", name), source)
    for name, variable in subject.variables.items():
        if not variable.passthrough or is_open(name):
            continue
        code, trust = _CODE_VARIABLE.match(name), _TRUST_VARIABLE.match(name)
        rule = M15 if code or trust else M20
        decides = "which code runs" if code else "whom the program trusts" if trust else "what is not measured"
        yield subject.finding(rule, variable.place, f"the host sets this variable, and so {decides}",
                              "Write the value into the manifest.")  # fmt: skip


def _untrusted(subject: Subject, place: tuple[str, ...], path: str) -> Finding:
    return subject.finding(M15, place, f"{subject.plain.shown(path)} is not among the trusted files, so the host can"
                           " replace it", "List the file that its mount leads to in sgx.trusted_files.")  # fmt: skip


def _preloaded(subject: Subject) -> list[str]:
    return [each for each in re.split(r"[:\s]+", subject.value_of("LD_PRELOAD") or "") if each and not is_open(each)]


def _library_trusted(subject: Subject, path: str) -> bool:
    """Whether a library is trusted; a bare name is looked for where the loader would."""
    if "/" in path:
        return subject.trusts(path)
    if subject.trusted.named(path):
        return True
    folders = [*(subject.value_of("LD_LIBRARY_PATH") or "").split(":"), "/lib", "/usr/lib"]
    return any(subject.trusts(f"{folder}/{path}") for folder in folders if folder)


def not_normal(subject: Subject) -> Iterator[Finding]:
    """M16: an encrypted file is bound to the path under which it was sealed, letter by letter."""
    for mount in subject.encrypted():
        path = mount.uri.removeprefix("file:")
        parts = path.removesuffix("/").split("/")
        if "." in parts or ".." in parts or "" in parts[1:]:
            yield subject.finding(M16, (*mount.place, "uri"), f"{subject.plain.shown(mount.uri)} is not normalised",
                                  "Write the path that strongroom file inspect shows.")  # fmt: skip


def writable(subject: Subject) -> Iterator[Finding]:
    """M17: files that change under the program's hands, and seals that a CPU update breaks."""
    for trusted in subject.trusted.entries:
        place = subject.allowed.covering(trusted.host)
        if place is not None:
            yield subject.finding(M17, trusted.place, f"{subject.plain.shown(trusted.uri)} lies in"
                                  f" {subject.name(place.place)}, where the program may write",
                                  "Keep trusted files apart from writable ones.")  # fmt: skip
    for mount in subject.encrypted():
        if mount.key_name == "_sgx_mrsigner":
            yield subject.finding(M17, mount.place, "this sealing key changes with the CPU's security version",
                                  "Keep another copy, or use a key that the broker releases.")  # fmt: skip


CHECKS: Final[tuple[tuple[Rule, Callable[[Subject], Iterator[Finding]]], ...]] = (
    (M03, allowed), (M09, overlaps), (M15, host_chosen), (M16, not_normal), (M17, writable),
)  # fmt: skip
