"""Files of the reference guides: what becomes of each, and that nothing weak is adopted."""

import json

import pytest

from strongroom.cli import main
from strongroom.deploy.description import Description, Engine, Front, Tee
from strongroom.deploy.importing import Kind, NothingToImport, read, settings_text
from strongroom.deploy.yaml_reading import MAX_YAML_BYTES, YamlMalformed, objects_of
from strongroom.gramine.ra_config import RaConfigMalformed

DEPLOY = b"""\
apiVersion: v1
kind: Namespace
metadata: {name: gramine-tf-serving}
---
apiVersion: v1
kind: Service
metadata: {name: gramine-tf-serving-service, namespace: gramine-tf-serving}
spec:
  type: NodePort
  selector: {app: gramine-tf-serving-app}
  ports: [{name: grpc, port: 8500, targetPort: 8500, nodePort: 30500}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gramine-tf-serving-deployment, namespace: gramine-tf-serving}
spec:
  replicas: 2
  selector: {matchLabels: {app: gramine-tf-serving-app}}
  template:
    metadata: {labels: {app: gramine-tf-serving-app}}
    spec:
      containers:
        - name: gramine-tf-serving-container
          image: localhost:5000/tensorflow_serving:default
          securityContext: {privileged: true}
          env:
            - {name: model_name, value: resnet50-v15-fp32}
            - {name: SGX, value: "1"}
            - {name: ssl_config_file, value: /ssl.cfg}
          resources: {limits: {cpu: 2}}
          volumeMounts: [{name: model-path, mountPath: /models}]
      volumes:
        - {name: sgx, hostPath: {path: /dev/sgx}}
        - {name: model-path, hostPath: {path: /home/me/models}}
        - {name: aesm, hostPath: {path: /var/run/aesmd/aesm.socket}}
"""
INGRESS = b"""\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: gramine-tf-serving-grpc-ingress
  namespace: gramine-tf-serving
  annotations:
    nginx.ingress.kubernetes.io/ssl-passthrough: "true"
    nginx.ingress.kubernetes.io/backend-protocol: GRPCS
spec:
  rules:
    - host: grpc.tf-serving.service.com
"""
SAMPLE_KEY = bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe")


def test_the_guides_two_files_come_to_one_table_that_is_read():
    parts = [read("deploy.yaml", DEPLOY).settings, read("ingress.yaml", INGRESS).settings]
    import tomllib

    found = Description.parse(tomllib.loads(settings_text(parts))["deploy"])
    assert (found.name, found.namespace) == ("gramine-tf-serving", "gramine-tf-serving")
    assert (found.tee, found.engine, found.front) == (Tee.SGX, Engine.TENSORFLOW_SERVING, Front.INGRESS)
    assert (found.replicas, found.resources.cpu, found.host) == (2, "2", "grpc.tf-serving.service.com")
    assert [model.name for model in found.models] == ["resnet50-v15-fp32"]


def test_sa_07_every_weakness_of_the_guides_file_is_named_and_none_adopted():
    seen = "\n".join(f"{note.seen} {note.instead}" for note in read("deploy.yaml", DEPLOY).notes)
    for weakness in ("/dev/sgx", "/home/me/models", "aesmd", "NodePort", "ssl_config_file", "digests"):
        assert weakness in seen
    assert seen.count("/home/me/models") == 1  # once, with what stands for it
    assert 'broker = "HOST:PORT"' in seen
    assert "localhost:5000/tensorflow_serving" not in settings_text([read("deploy.yaml", DEPLOY).settings])


def test_an_ingress_that_ends_tls_is_named():
    notes = read("ingress.yaml", INGRESS.replace(b'"true"', b'"false"')).notes
    assert "TLS ends in the ingress controller" in notes[0].seen


def test_sa_07_the_published_wrap_key_is_recognised_and_not_taken():
    found = read("files/wrap_key", SAMPLE_KEY)
    assert found.kind is Kind.WRAP_KEY
    assert found.command is None
    assert SAMPLE_KEY.hex() not in json.dumps(found.to_json_object())
    own = read("wrap-key", bytes(range(16)))
    assert own.command == "strongroom key put secret/wrap_key --from wrap-key"


def test_measurements_are_left_to_the_strict_import():
    entry = {"mr_enclave": "ab" * 32, "mr_signer": "cd" * 32, "isv_prod_id": "0", "isv_svn": "0"}
    switches = {f"verify_{name}": "on" for name in entry}
    found = read("ra_config.json", json.dumps({**switches, "mrs": [entry]}).encode())
    assert found.command == "strongroom policy import ra_config.json --dry-run"
    with pytest.raises(RaConfigMalformed):
        read("ra_config.json", b'{"verify_mr_enclave": "ON"}')


def test_sa_07_an_insecure_switch_of_the_quote_librarys_file_is_not_adopted():
    found = read(
        "sgx_default_qcnl.conf", b'{"pccs_url": "https://pccs:8081/sgx/certification/v4/", "use_secure_cert": false}'
    )
    assert any("use_secure_cert" in note.seen for note in found.notes)


@pytest.mark.parametrize(("name", "data"), [("a.txt", b"text"), ("a.yaml", b"kind: ConfigMap\n"), ("key", b"12345")])
def test_what_the_guides_do_not_know_is_refused_with_sr_import_unknown(name, data):
    with pytest.raises(NothingToImport) as caught:
        read(name, data)
    assert caught.value.code == "SR-IMPORT-UNKNOWN"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff", b"a: [", b"- 1", b"text", b"kind: 1", b"a: &x {}\nb: *x\nkind: Pod",
        b"kind: !!python/object:os.system x", b"[" * 40, b"kind: Pod\nspec: [" + b"1," * 60_000 + b"]",
        b"#" * (MAX_YAML_BYTES + 1),
        b"kind: Pod\n? {a: b}\n: c",
        b"kind: Pod\na: 1" + b":1" * 400_000, b"kind: Pod\na: 0x" + b"f" * 400_000,
        b"kind: Pod\na: 0b" + b"1" * 400_000,
    ],
)  # fmt: skip
def test_yaml_that_is_not_of_plain_values_is_refused_with_sr_deploy_yaml(data):
    with pytest.raises(YamlMalformed) as caught:
        objects_of(data, where="x.yaml")
    assert caught.value.code == "SR-DEPLOY-YAML"


@pytest.mark.parametrize(
    "text",
    [
        *(f"kind: Deployment\nmetadata: {{name: a}}\nspec: {{template: {{spec: {{containers: [{each}]}}}}}}"
          for each in ("{resources: {limits: cpu}}", "{resources: {limits: [cpu]}}", "{resources: {limits: 5}}")),
        *(f"kind: Ingress\nmetadata: {{annotations: {each}}}"
          for each in ("foo", "[ingress]", "5", "{5: x, ingress: y, 6.5: z}")),
    ],
)  # fmt: skip
def test_sa_07_tables_that_are_none_are_passed_over(text):
    assert read("deploy.yaml", text.encode()).kind is Kind.KUBERNETES


def test_sa_07_nothing_in_a_file_moves_the_cursor_or_ends_a_command(tmp_path, capsys):
    folder = tmp_path / "a; reboot"
    folder.mkdir()
    (folder / "deploy.yaml").write_text(
        'kind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{image: "x\\e]0;owned\\a"}]}}}'
    )
    (folder / "wrap_key").write_bytes(bytes(range(16)))
    assert main(["deploy", "import", str(folder)]) == 0
    said = capsys.readouterr().err
    assert "the image x?]0;owned?" in said
    assert "\x1b" not in said
    assert f"--from '{folder}/wrap_key'" in said


def test_a_list_is_its_items():
    found = objects_of(b"kind: List\nitems: [{kind: Pod}, {kind: Service}]\n---\n---\nkind: Job\n", where="x")
    assert [each["kind"] for each in found] == ["Pod", "Service", "Job"]
