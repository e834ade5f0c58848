"""Attack what the story built, for real, and name what refused each attack.

An attack is prose, a deed, and the codes that would be the right refusal. Whatever else happens, be it success or a
refusal for another reason, counts as a failure of the demonstration. Source: threats.md sections 5 and 9.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from strongroom.broker import BrokerRefused, provision
from strongroom.client import Credentials, parse_address
from strongroom.client.connection import Connection
from strongroom.client.evidence import PATH as EVIDENCE_PATH
from strongroom.demo.model import MODEL_FILE, MODEL_NAME, MODEL_VERSION, servable
from strongroom.demo.processes import Finished, StepFailed
from strongroom.demo.results import AttackResult
from strongroom.demo.scene import CLIENT_NAME, HOST, Scene
from strongroom.demo.story import Story

NOT_REFUSED: Final = "NOT-REFUSED"
FLIPPED_NODE: Final = 50  # a data node of the sealed file: nodes have 4096 bytes, 2 to 97 of the first table are data
NODE_BYTES: Final = 4096
DECOY_NAME: Final = "cat-detector"
_CODE: Final = re.compile(r"\[(SR-[A-Z0-9-]+)\]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who said no, with which code, in which words."""

    by: str
    code: str
    sentence: str


class Attacker:
    """Has the operator's machine, the network, and a certificate authority of its own; not the owner's workspace."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._scene: Scene = story.scene

    def carry_out(self) -> Iterator[AttackResult]:
        """Try every attack, a few at a time, and yield what became of it in the order of the list."""
        self._prepare()
        with ThreadPoolExecutor(2) as pool:
            yield from pool.map(self._try, ATTACKS)

    def _try(self, attack: Attack) -> AttackResult:
        """Carry out one attack; a step of it that fails is a refusal for the wrong reason."""
        began = time.perf_counter()
        try:
            refusal = attack.deed(self)
        except StepFailed as problem:
            refusal = Refusal("nobody", problem.code, problem.sentence)
        return AttackResult(
            attack=attack.prose,
            refused_by=refusal.by,
            code=refusal.code,
            sentence=refusal.sentence,
            wanted=attack.wanted,
            seconds=time.perf_counter() - began,
        )

    def _prepare(self) -> None:
        """Make the attacker's own CA, with a client certificate for the right name."""
        must = self._scene.children.must
        must("init", "stranger")
        must("certs", "two-way", "--workspace", "stranger", "--server", HOST, "--client", CLIENT_NAME,
             "--out", "stranger-ssl")  # fmt: skip

    # On the operator's machine ----------------------------------------------------------------------------------

    def flip_a_byte(self) -> Refusal:
        """Change one bit of the sealed model; the program, and so its measurement, stays the same."""
        folder = self._stolen("flipped-byte")
        sealed = folder / "models" / MODEL_NAME / str(MODEL_VERSION) / MODEL_FILE
        with self._scene.path(sealed).open("r+b") as file:
            file.seek(FLIPPED_NODE * NODE_BYTES + 1000)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))
        return self._refused_by_replica("flipped-byte", folder)

    def move_another_model(self) -> Refusal:
        """Put a genuine bundle of the same owner, but of another model, where the replica looks."""
        folder, scene = self._stolen("other-model"), self._scene
        scene.children.must("model", "publish", servable(self._story.cache), "--name", DECOY_NAME, "--version", "1",
                            "--workspace", scene.workspace, "--out", "decoy")  # fmt: skip
        place = scene.path(folder, "models", MODEL_NAME, str(MODEL_VERSION))
        shutil.rmtree(place)
        scene.path("decoy", DECOY_NAME, "1").rename(place)
        return self._refused_by_replica("other-model", folder)

    def change_an_argument(self) -> Refusal:
        """Let the replica listen on all interfaces: one word more permissive, another measurement."""
        replica = self._scene.manifest(self._story.kbs_port).with_word("--bind=127.0.0.1", "--bind=0.0.0.0")
        self._run_other("changed-argument", replica.render())
        return self._denial(lambda each: each["mr_enclave"] != self._story.mr_enclave)

    def run_as_debug_enclave(self) -> Refusal:
        """Run the very program in an enclave whose memory the host may read; its measurement stays the same."""
        replica = self._scene.manifest(self._story.kbs_port).with_debug()
        self._run_other("debug-enclave", replica.render())
        return self._denial(lambda each: each["debug"])

    def replay_a_quote(self) -> Refusal:
        """Take a genuine quote of a running replica and show it to the broker with a key of one's own."""
        quote = self._quote_of_a_replica()
        ca_pem = self._scene.path(self._scene.operator, "ca_cert.pem").read_bytes()
        try:
            provision(HOST, self._story.broker_port, ca_pem=ca_pem, platform=_Recorded(quote))
        except BrokerRefused:
            return self._denial(None)
        return Refusal("nobody", NOT_REFUSED, "the broker released the key to a replayed quote")

    # On the network ---------------------------------------------------------------------------------------------

    def trust_another_ca(self) -> Refusal:
        """Stand between client and replica with a CA of one's own: to the client, the two CAs differ."""
        words = self._client_words(ca="stranger/ca/ca_cert.pem")
        return _refused_by("the client", self._scene.children.run(*words))

    def show_another_certificate(self) -> Refusal:
        """Call a replica with a certificate for the right name from the attacker's CA."""
        words = self._client_words(crt="stranger-ssl/client/cert.pem", key="stranger-ssl/client/key.pem")
        return _refused_by("the replica", self._scene.children.run(*words))

    def speak_plaintext(self) -> Refusal:
        """Have a client leave out TLS."""
        return _refused_by("the client", self._scene.children.run(*self._plain_words()))

    def insist_on_plaintext(self) -> Refusal:
        """Have a client leave out TLS against its own advice: the replica's port has no clear-text side."""
        refusal = _refused_by("the replica", self._scene.children.run(*self._plain_words(), "--insecure"))
        if "closed the connection" not in refusal.sentence:  # nobody listening would have the same code
            return Refusal("nobody", NOT_REFUSED, refusal.sentence)
        return refusal

    def _client_words(self, **files: str) -> list[str]:
        words = [*self._scene.predict_words(self._scene.rest_url, self._scene.photos[0]), "--json"]
        for flag, path in files.items():
            words[words.index(f"--{flag}") + 1] = path
        return words

    def _plain_words(self) -> list[str]:
        url = self._scene.rest_url.replace("https:", "http:")
        return ["predict", "--url", url, "--model", MODEL_NAME, "--image", str(self._scene.photos[0]), "--json"]

    # How it ended -----------------------------------------------------------------------------------------------

    def _stolen(self, name: str) -> Path:
        """Copy everything the operator has; the manifest's relative paths keep its measurement."""
        folder = Path("attacks") / name
        shutil.copytree(self._scene.path(self._scene.operator), self._scene.path(folder))
        return folder

    def _run_other(self, name: str, manifest: str) -> None:
        """Run another manifest to its end; the replica must not come up."""
        folder = self._stolen(name)
        self._scene.path(folder, "replica.manifest").write_text(manifest, encoding="utf-8")
        refusal = self._refused_by_replica(name, folder)
        if refusal.code != "SR-KEY-NOT-RELEASED":
            raise StepFailed(f"{name} ended otherwise than without a key: {refusal.code} {refusal.sentence}")

    def _refused_by_replica(self, name: str, folder: Path) -> Refusal:
        """Start a replica that must end by itself, and return the first error it names."""
        children = self._scene.children
        child = self._story.start_replica(name, folder)
        try:
            said = child.wait_for(rf"{_CODE.pattern}|Strongroom is ready")
            lines = list(child.lines)
        finally:
            children.stop(child)
        if not said.group(1):
            return Refusal("nobody", NOT_REFUSED, f"{name} came up and serves")
        at = next(index for index, line in enumerate(lines) if said.group(0) in line)
        return Refusal("the replica", said.group(1), _sentence(lines, at))

    def _denial(self, evidence_is: Callable[[dict[str, Any]], bool] | None) -> Refusal:
        """Return the ledger's last denial whose evidence fits; None is for evidence that did not hold at all."""
        for each in reversed(self._scene.decisions()):
            evidence = each["evidence"]
            fits = evidence is None if evidence_is is None else evidence is not None and evidence_is(evidence)
            if fits and each["decision"] == "denied":
                reason = each["reasons"][0]
                seen = f"{reason['word']}: " if reason["word"] else ""
                wanted = f", expected {reason['expected']}" if reason["word"] else ""
                return Refusal("the broker", reason["code"], f"{seen}{reason['observed']}{wanted}")
        return Refusal("nobody", NOT_REFUSED, "the ledger has no such denial")

    def _quote_of_a_replica(self) -> bytes:
        scene = self._scene
        credentials = Credentials(
            ca=scene.path("client/ca_cert.pem"),
            certificate=scene.path("client/cert.pem"),
            key=scene.path("client/key.pem"),
        )
        connection = Connection(parse_address(scene.rest_url), credentials, timeout_s=10)
        try:
            _, answer = connection.exchange("GET", f"{EVIDENCE_PATH}?nonce={'5a' * 32}")
        finally:
            connection.close()
        return base64.b64decode(json.loads(answer)["quote"])


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A platform that knows one quote and gives it for everything."""

    recorded: bytes

    def quote(self, _report_data: bytes) -> bytes:
        return self.recorded


def _refused_by(whom: str, done: Finished) -> Refusal:
    """Return the error of a client command, or that it was answered."""
    if done.status == 0:
        return Refusal("nobody", NOT_REFUSED, "the client was answered")
    try:
        error = json.loads(done.stderr)["error"]
    except (ValueError, KeyError):
        return Refusal(whom, NOT_REFUSED, done.stderr.strip()[-300:])
    return Refusal(whom, error["code"], error["sentence"])


def _sentence(lines: list[str], at: int) -> str:
    """Return the words of an error: before its code on the same line, or the sentence two lines above (`frame`)."""
    before = _CODE.split(lines[at])[0].strip()
    if before:
        return before.split(": ", 1)[-1]
    return lines[max(0, at - 2)].removeprefix("strongroom: ")


@dataclass(frozen=True, slots=True)
class Attack:
    """What is tried, the deed, and the codes that are right."""

    prose: str
    deed: Callable[[Attacker], Refusal]
    wanted: tuple[str, ...]


ATTACKS: Final = (
    Attack("sealed model with one flipped byte", Attacker.flip_a_byte, ("SR-SEALED-DATA",)),
    Attack("replica with one changed argument", Attacker.change_an_argument, ("POLICY_MRENCLAVE",)),
    Attack("the same replica as a debug enclave", Attacker.run_as_debug_enclave, ("POLICY_DEBUG",)),
    Attack("a replica's quote, replayed with another key", Attacker.replay_a_quote, ("SR-RATLS-NOT-BOUND",)),
    Attack("model of another name moved into place", Attacker.move_another_model, ("SR-BUNDLE-OTHER",)),
    Attack("client that trusts another CA", Attacker.trust_another_ca, ("SR-SERVER-NOT-TRUSTED",)),
    Attack("client certificate from another CA", Attacker.show_another_certificate, ("SR-CLIENT-NOT-ACCEPTED",)),
    Attack("client without TLS", Attacker.speak_plaintext, ("SR-PLAINTEXT",)),
    Attack("client that insists on plaintext", Attacker.insist_on_plaintext, ("SR-SERVER-UNREACHABLE",)),
)
