import itertools

import pytest

from strongroom.deploy.clouds import profile
from strongroom.deploy.description import Autoscaling, Description, Engine, Front, Model, Size, Tee
from strongroom.deploy.kubernetes import objects

PUBLIC = {"ca_cert.pem": "a certificate\n", "owner_public.pem": "a public key\n"}


def described(**words):
    words.setdefault("models", (Model(name="resnet50", path="models/resnet50"),))
    return Description(**words)


def covering():
    """Yield descriptions that hold every value of every word, and every TEE with every front and broker."""
    clouds, sizes = itertools.cycle(("generic", "aks", "azure")), itertools.cycle(Size)
    scaled = itertools.cycle((None, Autoscaling(least=1, most=4, requests_in_flight=8)))
    brokers = (None, "https://broker.example.com:8080", "10.1.2.3:4433")
    for tee, front, broker in itertools.product(Tee, Front, brokers):
        yield {"tee": tee, "front": front, "broker": broker, "cloud": next(clouds), "size": next(sizes),
               "autoscaling": next(scaled)}  # fmt: skip
    yield {"tee": Tee.SGX, "engine": Engine.TENSORFLOW_SERVING}
    yield {"tee": Tee.SGX, "engine": Engine.TENSORFLOW_SERVING, "front": Front.INGRESS}
    yield {"name": "a", "namespace": "b", "replicas": 3, "models": ()}


@pytest.fixture(scope="session")
def combinations():
    return tuple(covering())


@pytest.fixture(scope="session")
def built():
    def build(**words):
        found = described(**words)
        return objects(found, profile(found.cloud), PUBLIC)

    return build


@pytest.fixture(scope="session")
def one():
    def find(found, kind, name):
        (each,) = [each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        return each

    return find
