"""Signing on the owner's side: a template and an image's files become what Gramine starts and a verifier recognises."""

import tomllib
from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import Description, Flavour, Model, Tee
from strongroom.deploy.gramine import manifests
from strongroom.deploy.images.archive import members
from strongroom.deploy.images.expansion import NotExpandable, expand, libpal
from strongroom.deploy.images.signing import SigningKeyUnusable, identity_of, load_key, sign
from strongroom.deploy.images.tree_view import TreeView
from strongroom.gramine import measure, sigstruct
from strongroom.secret import Secret

DAY = date(2026, 11, 21)
DESCRIPTION = Description(tee=Tee.SGX, models=(Model(name="m", path="models/m"),))
GRAMINE = {
    f"usr/lib/x86_64-linux-gnu/gramine/{name}": name.encode()
    for name in ("runtime/glibc/libc.so.6", "libsysdb.so", "sgx/libpal.so")
}
PROGRAM = {
    "lib": ("link", "usr/lib"),
    "usr/bin/python3.11": b"python",
    "opt/strongroom/bin/python3": ("link", "/usr/bin/python3.11"),
    "opt/strongroom/lib/a.py": b"a = 1",
    "usr/lib/python3.11/os.py": b"os",
    "app/ca_cert.pem": b"ca",
    "app/owner_public.pem": b"owner",
    "app/monitoring.config": b"monitoring",
    "models/m/1/model.onnx": b"GRAFS_PF",
}


@pytest.fixture
def view(archive_of):
    found = TreeView()
    found.lay(members(archive_of(GRAMINE, PROGRAM)))
    return found


@pytest.fixture(scope="module")
def template():
    return manifests(DESCRIPTION, GENERIC)["gramine/model-server.manifest.template"].decode()


@pytest.fixture(scope="module")
def pal(shared_vectors):
    return (shared_vectors / "gramine" / "sig" / "libpal.so").read_bytes()


def private_pem(key, passphrase=None):
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def test_every_trusted_file_is_listed_from_the_image_with_its_digest(view, template):
    listed = tomllib.loads(expand(template, view, Flavour.DEFAULT).decode())["sgx"]["trusted_files"]
    found = {entry["uri"]: entry["sha256"] for entry in listed}
    assert found["file:/opt/strongroom/bin/python3"] == view.digest("/usr/bin/python3.11")
    assert found["file:/models/m/1/model.onnx"] == view.digest("/models/m/1/model.onnx")
    assert found["file:/lib/x86_64-linux-gnu/gramine/libsysdb.so"] == view.digest(
        "/usr/lib/x86_64-linux-gnu/gramine/libsysdb.so"
    )
    assert [entry["uri"] for entry in listed] == sorted(found)


def test_nothing_but_the_trusted_files_changes(view, template):
    before = template.replace("{{ gramine.libdir }}", "/usr/lib/x86_64-linux-gnu").replace(
        "{{ gramine.runtimedir() }}", "/usr/lib/x86_64-linux-gnu/gramine/runtime/glibc"
    )
    without = [
        {name: value for name, value in tomllib.loads(text).items() if name != "sgx"}
        for text in (before, expand(template, view, Flavour.DEFAULT).decode())
    ]
    assert without[0] == without[1]


def test_sa_05_the_same_files_in_another_image_give_the_same_manifest(view, template, archive_of):
    again = TreeView()
    again.lay(members(archive_of({**PROGRAM, **GRAMINE})))
    assert expand(template, again, Flavour.DEFAULT) == expand(template, view, Flavour.DEFAULT)
    again.add("opt/strongroom/lib/a.py", "00" * 32)
    assert expand(template, again, Flavour.DEFAULT) != expand(template, view, Flavour.DEFAULT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{{ gramine.libdir }}", "{{ env.HOME }}"), ("file:/app/ca_cert.pem\",\n  \"", "file:/app/none\",\n  \""),
        ("sgx.trusted_files", "sgx.trusted"), ("file:/models/", "file:models/"), ("sgx.debug = false", "sgx.debug = ("),
    ],
)  # fmt: skip
def test_what_cannot_be_expanded_is_refused_with_sr_image_expand(view, template, old, new):
    assert old in template
    with pytest.raises(NotExpandable) as caught:
        expand(template.replace(old, new), view, Flavour.DEFAULT)
    assert caught.value.code == "SR-IMAGE-EXPAND"


def test_an_enclave_is_signed_and_reads_back_as_it_was_measured(view, template, pal, enclave_key):
    signed = sign("model-server", template, view, pal, enclave_key, on=DAY, flavour=Flavour.DEFAULT, gramine="1.9")
    found = sigstruct.parse(signed.files["model-server.sig"])
    found.check()
    measured = measure.measure(signed.files["model-server.manifest.sgx"], pal)
    measure.compare(measured, found)
    assert (found.date, found.debug, found.isv_prod_id) == (DAY, False, measured.isv_prod_id)
    assert found.modulus == enclave_key.public_key().public_numbers().n


def test_identities_are_stated_as_gramines_own_signer_states_them(shared_vectors, pal):
    for name in ("a", "b"):
        signed = sigstruct.parse((shared_vectors / "gramine" / "sig" / f"{name}.sig").read_bytes())
        measured = measure.measure((shared_vectors / "gramine" / "sig" / f"{name}.manifest.sgx").read_bytes(), pal)
        ours = identity_of(measured, signed.date)
        for field in ("mr_enclave", "date", "isv_prod_id", "isv_svn", "attributes", "attributes_mask", "xfrm",
                      "xfrm_mask", "misc_select", "misc_mask", "vendor", "isv_family_id"):  # fmt: skip
            assert getattr(ours, field) == getattr(signed, field), field


def test_sa_01_no_part_of_the_signing_key_is_in_what_goes_into_the_image(view, template, pal, enclave_key):
    signed = sign("model-server", template, view, pal, enclave_key, on=DAY, flavour=Flavour.DEFAULT, gramine="1.9")
    numbers = enclave_key.private_numbers()
    for content in signed.files.values():
        for part in (numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp):
            raw = part.to_bytes(384, "big").lstrip(b"\0")
            assert raw not in content
            assert raw[::-1] not in content


def test_a_key_that_signs_enclaves_is_loaded(enclave_key):
    assert load_key(private_pem(enclave_key)).private_numbers() == enclave_key.private_numbers()


@pytest.mark.parametrize("kind", ["none", "ec", "small", "exponent", "passphrase", "public"])
def test_another_key_is_refused_with_sr_image_signing_key(kind, enclave_key):
    keys = {
        "none": lambda: Secret(b"no key at all"),
        "ec": lambda: private_pem(ec.generate_private_key(ec.SECP256R1())),
        "small": lambda: private_pem(rsa.generate_private_key(public_exponent=3, key_size=2048)),
        "exponent": lambda: private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        "passphrase": lambda: private_pem(enclave_key, b"secret words"),
        "public": lambda: Secret(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
    }
    with pytest.raises(SigningKeyUnusable) as caught:
        load_key(keys[kind]())
    assert caught.value.code == "SR-IMAGE-SIGNING-KEY"


def test_each_distribution_has_its_gramine_in_one_place():
    assert {flavour: libpal(flavour) for flavour in Flavour} == {
        Flavour.DEFAULT: "/usr/lib/x86_64-linux-gnu/gramine/sgx/libpal.so",
        Flavour.AZURE: "/usr/lib/x86_64-linux-gnu/gramine/sgx/libpal.so",
        Flavour.ANOLISOS: "/usr/lib64/gramine/sgx/libpal.so",
    }
