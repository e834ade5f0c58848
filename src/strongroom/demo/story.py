"""The twelve steps of the reference solution's figure, done for real by the product's own commands.

Source: threats.md section 6. Owner, platform, broker, replicas and client are processes of their own; this module only
starts them, waits for what they say, and reads what they left behind.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from strongroom.demo.display import Display
from strongroom.demo.model import MODEL_FILE, MODEL_NAME, MODEL_VERSION, servable
from strongroom.demo.photos import Photo
from strongroom.demo.processes import Child, Finished, StepFailed
from strongroom.demo.results import PhotoResult, Report, Step, StepResult
from strongroom.demo.scene import CLIENT_NAME, HOST, SECRET_NAME, Scene

STEPS: Final = (
    Step(1, "vendor → platform", "PCK chain, revocation lists and TCB data come to the platform's owner"),
    Step(2, "owner → operator", "the model is sealed under a key of its own, signed, and shipped"),
    Step(3, "operator", "two replicas and the owner's broker start"),
    Step(4, "replica → broker", "a nonce is asked for, and answered with a quote over it and a fresh key"),
    Step(5, "broker", "the quote is verified, then the owner's policy asked"),
    Step(6, "broker → replica", "the key of this version leaves, sealed to the quoted key, after the ledger's line"),
    Step(7, "replica", "the sealed model is opened in memory"),
    Step(8, "replica", "the model is loaded and can answer"),
    Step(9, "client → replica", "mutual TLS; evidence is checked before a byte of a photograph leaves"),
    Step(10, "balancer", "the kernel spreads connections over both replicas; it sees ciphertext"),
    Step(11, "balancer → replica", "each replica proves itself and answers, over REST and over gRPC"),
    Step(12, "replica → client", "the answer comes back over the same connection"),
)
REPLICAS: Final = ("replica-1", "replica-2")
MAX_VISITS: Final = 24  # both replicas have been met by then, but for one chance in eight million
_CANARY_BYTES: Final = 64

Told = list[str]


class Story:
    """One run from an empty folder to two replicas that have answered."""

    def __init__(self, scene: Scene, display: Display, report: Report, *, cache: Path, beside_real_tee: bool) -> None:
        self.scene, self.display, self.report = scene, display, report
        self.cache = cache
        self._platform_words = ["--beside-real-tee"] if beside_real_tee else []
        self._began: dict[int, float] = {}
        self._origin = time.perf_counter()
        self.broker_port = 0  # Gramine's protocol
        self.kbs_port = 0
        self.admin_port = 0
        self.mr_enclave = ""

    def run(self, photos: tuple[Photo, ...]) -> None:
        """Do the steps in order, side by side where they do not need each other. Raises StepFailed at the first."""
        with ThreadPoolExecutor(3) as pool:
            self._prepare(pool)
        replicas = self._start()
        self._watch_release()
        self._watch_opening(replicas)
        self._be_the_client(photos)
        self.report.steps.sort(key=lambda result: result.step.number)

    # Steps 1 to 3: owner and platform prepare, then everything starts -------------------------------------------

    def _prepare(self, pool: ThreadPoolExecutor) -> None:
        """Steps 1 and 2, which meet in the workspace's trust folder and in the policy."""
        must = self.scene.children.must
        world = pool.submit(self._timed, 1, lambda: must("sim", "init", *self._platform_words, self.scene.world))
        model = pool.submit(servable, self.cache)
        with self._step(2) as told:
            must("init", self.scene.workspace)
            collateral = pool.submit(self._deliver_collateral, world)
            self._publish(model)
            collateral.result()
            self._trust_the_build()
            told.append(f"measured {self.mr_enclave[:16]}…, trusted for {SECRET_NAME}")

    def _timed(self, number: int, work: Callable[[], Finished]) -> Finished:
        self._begin(number)
        return work()

    def _deliver_collateral(self, world: Future[Finished]) -> None:
        world.result()
        trust = self.scene.workspace / "trust"
        with self._step(1) as told:
            self._sim("collateral", "--out", trust)
            names = sorted(path.stem for path in self.scene.path(trust, "collateral").glob("*.json"))
            told.append(f"platform family {', '.join(names)}, trust domain simulated")
        scene = self.scene
        ports = ("--port", "0", "--kbs-port", "0", "--admin-port", "0")
        broker = scene.children.start("broker", "broker", "serve", "--workspace", scene.workspace, *ports)
        self.broker_port = int(broker.wait_for(r"broker listens on [\d.]+:(\d+)").group(1))
        self.kbs_port = int(broker.wait_for(r"https://\S+:(\d+) \(kbs\)").group(1))
        self.admin_port = int(broker.wait_for(r"https://\S+:(\d+) \(admin\)").group(1))

    def _sim(self, verb: str, *words: str | Path) -> Finished:
        return self.scene.children.must("sim", verb, *self._platform_words, "--world", self.scene.world, *words)

    def _publish(self, model: Future[Path]) -> None:
        scene, must = self.scene, self.scene.children.must
        workspace = ("--workspace", scene.workspace)
        must("certs", "two-way", "--server", HOST, "--client", CLIENT_NAME, "--out", scene.ssl, *workspace)
        must("model", "publish", model.result(), "--name", MODEL_NAME, "--version", str(MODEL_VERSION), *workspace,
             "--ssl-config", scene.ssl / "ssl.cfg", "--out", scene.operator / "models")  # fmt: skip
        copy = {
            "workspace/ca/ca_cert.pem": "operator/ca_cert.pem",
            "workspace/signing/owner_public.pem": "operator/owner_public.pem",
            "ssl_configure/ca_cert.pem": "client/ca_cert.pem",
            "ssl_configure/client/cert.pem": "client/cert.pem",
            "ssl_configure/client/key.pem": "client/key.pem",
        }
        scene.path(scene.client).mkdir(mode=0o700)
        for source, target in copy.items():
            shutil.copy(scene.path(source), scene.path(target))

    def _trust_the_build(self) -> None:
        """Measure the replica, one of whose words is the broker's address; write the rule; hand it to clients too."""
        scene, must = self.scene, self.scene.children.must
        manifest = scene.operator / "replica.manifest"
        scene.path(manifest).write_text(scene.manifest(self.kbs_port).render(), encoding="utf-8")
        measured = self._sim("measure", "--json", manifest).stdout
        self.mr_enclave = json.loads(measured)["mr_enclave"]
        must("policy", "trust", "--workspace", scene.workspace, "--mrenclave", self.mr_enclave,
             "--trust-domain", "simulated", "--release", SECRET_NAME)  # fmt: skip
        trust = scene.path(scene.client, "trust")
        shutil.copytree(scene.path(scene.workspace, "trust"), trust)
        shutil.copy(scene.path(scene.workspace, "policy.toml"), trust)

    def _start(self) -> list[Child]:
        with self._step(3) as told:
            replicas = [self.start_replica(name, self.scene.operator) for name in REPLICAS]
            told.append(f"pids {', '.join(str(child.pid) for child in replicas)}; broker on port {self.kbs_port}")
        self._begin(4)
        return replicas

    def start_replica(self, name: str, folder: Path) -> Child:
        """Start what the manifest in `folder` describes, as the operator does."""
        words = ["sim", "run", *self._platform_words, "--world", str(self.scene.world)]
        return self.scene.children.start(name, *words, folder / "replica.manifest")

    # Steps 4 to 8: seen in the broker's log, the ledger, and the replicas' logs ---------------------------------

    def _watch_release(self) -> None:
        broker = next(child for child in self.scene.children.processes() if child.name == "broker")
        broker.wait_for(r": (released|refused) ")
        with self._step(4) as told:
            broker.wait_for(r": (released|refused) ", count=len(REPLICAS))
            decisions = self.scene.decisions()
            spoken = sorted({each["protocol"] for each in decisions})
            fresh = "a nonce of the broker" if all(each["fresh"] for each in decisions) else "no nonce"
            told.append(f"{len(decisions)} requests, {', '.join(spoken)}; the quote answers {fresh}")
        with self._step(5) as told:
            for each in decisions:
                self._check_evidence(each)
            seen = decisions[0]["evidence"]
            told.append(
                f"TCB {seen['status']}, trust domain {seen['trust_domain']}, debug off, measurement as published"
            )
        with self._step(6) as told:
            if {(each["decision"], each["secret"]) for each in decisions} != {("granted", SECRET_NAME)}:
                raise StepFailed("the broker did not release the model's key to both replicas; see its ledger")
            told.append(f"{SECRET_NAME} by rule {decisions[0]['rule']!r}")

    def _check_evidence(self, decision: dict[str, Any]) -> None:
        seen = decision["evidence"] or {}
        wanted = {"mr_enclave": self.mr_enclave, "trust_domain": "simulated", "status": "UpToDate", "debug": False}
        wrong = [f"{name} {seen.get(name)}" for name, value in wanted.items() if seen.get(name) != value]
        if wrong:
            raise StepFailed(
                f"the broker saw other evidence than it should: {', '.join(wrong)}",
                fix="If a file of the program was edited meanwhile, that is why: run it again.",
            )

    def _watch_opening(self, replicas: list[Child]) -> None:
        self._begin(7)
        loaded = rf"Successfully loaded servable version {{name: {MODEL_NAME} version: {MODEL_VERSION}}}"
        for child in replicas:
            child.wait_for(loaded)
        with self._step(7) as told:
            told.append(
                f"{self._search_for_plaintext()} files on the operator's side searched: no plaintext of the model"
            )
        with self._step(8) as told:
            for child in replicas:
                child.wait_for(r"Strongroom is ready: .*\(sealed\), mutual TLS")
            told.append("both say AVAILABLE, sealed, mutual TLS")

    def _search_for_plaintext(self) -> int:
        """Return how many files of the operator were searched; raise StepFailed if one holds a piece of the model."""
        model = (servable(self.cache) / MODEL_FILE).read_bytes()
        canaries = [model[at : at + _CANARY_BYTES] for at in (1 << 16, len(model) // 2, len(model) - 4096)]
        files = [path for path in self.scene.path(self.scene.operator).rglob("*") if path.is_file()]
        for path in files:
            data = path.read_bytes()
            if any(canary in data for canary in canaries):
                raise StepFailed(f"{path} holds plaintext of the model")
        return len(files)

    # Steps 9 to 12: the client ----------------------------------------------------------------------------------

    def _be_the_client(self, photos: tuple[Photo, ...]) -> None:
        paths = [photo.path for photo in photos]
        with self._step(9) as told:
            first = self._ask(self.scene.rest_url, *paths)
            self.report.proof = {name: value for name, value in first.items() if name not in {"model", "images"}}
            told.append(f"accepted by {first['rule']!r}; fresh nonce, key of this connection quoted")
        with self._step(10) as told:
            answers = [first, *self._visit_both(first, paths[0])]
            met = {each["quoted_by"] for each in answers}
            self.report.replicas_seen = len(met)
            told.append(f"{len(answers)} connections met {len(met)} quoting keys: {', '.join(key[:8] for key in met)}")
        with self._step(11) as told:
            shares = [sum(each["quoted_by"] == key for each in answers) for key in met]
            answers.append(self._ask(self.scene.grpc_url, *paths))
            told.append(f"REST: answered {' and '.join(map(str, shares))} times; gRPC: by a holder of the proved key")
        with self._step(12) as told:
            self.report.photos = [
                _photo_result(photo, answer) for photo, answer in zip(photos, first["images"], strict=True)
            ]
            _check_agreement(answers)
            told.append("all answers agree")

    def _ask(self, url: str, *photos: Path) -> dict[str, Any]:
        done = self.scene.children.must(*self.scene.predict_words(url, *photos), "--json")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _visit_both(self, first: dict[str, Any], photo: Path) -> Iterator[dict[str, Any]]:
        """Ask over new connections until both replicas have answered."""
        met = {first["quoted_by"]}
        for _ in range(MAX_VISITS):
            if len(met) == len(REPLICAS):
                return
            answer = self._ask(self.scene.rest_url, photo)
            met.add(answer["quoted_by"])
            yield answer
        raise StepFailed(f"{MAX_VISITS} connections met the same replica")

    # Telling ----------------------------------------------------------------------------------------------------

    def _begin(self, number: int) -> None:
        self._began.setdefault(number, time.perf_counter())
        self.display.step_begins(STEPS[number - 1])

    @contextmanager
    def _step(self, number: int) -> Iterator[Told]:
        """Time a step; the block appends the sentence that says what was seen."""
        self._begin(number)
        told: Told = []
        yield told
        now = time.perf_counter()
        result = StepResult(
            step=STEPS[number - 1], at=now - self._origin, seconds=now - self._began[number], seen="; ".join(told)
        )
        self.report.steps.append(result)
        self.display.step_done(result)


def _photo_result(photo: Photo, answer: dict[str, Any]) -> PhotoResult:
    classes = tuple((each["name"], each["probability"]) for each in answer["classes"])
    return PhotoResult(
        photo=photo.path.name,
        classes=classes,
        version=answer["version"] or MODEL_VERSION,
        latency_ms=answer["latency_ms"],
        as_known=photo.expected in {None, classes[0][0]},
    )


def _check_agreement(answers: list[dict[str, Any]]) -> None:
    """Raise StepFailed unless every answer ranks the first photograph alike."""
    ranked = {tuple(each["name"] for each in answer["images"][0]["classes"]) for answer in answers}
    if len(ranked) != 1:
        raise StepFailed("the replicas do not agree about a photograph")
