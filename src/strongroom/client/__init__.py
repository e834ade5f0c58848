"""The data owner's side: ask a model over TLS, and know what was proved about who answers.

Law of this room: nothing of the caller's leaves this process before the server's certificate verified and, where a
trust folder was given, before its evidence did. Plaintext needs a word. Whatever a server says is bounded, checked and
safe to print.
"""

from strongroom.client import bench_report
from strongroom.client.address import Address, Protocol, parse_address
from strongroom.client.answers import Metadata, ModelSpec, Prediction, Signature, TensorInfo, VersionStatus
from strongroom.client.bench import WARM_UP_LOOPS, Load, LoadRun
from strongroom.client.bench_report import Shape, Tally
from strongroom.client.classify import Classification, Classifier
from strongroom.client.client import Client
from strongroom.client.credentials import Credentials
from strongroom.client.images import decode_image, read_image
from strongroom.client.labels import RankedClass, read_labels, top_classes
from strongroom.client.proof import Proof
from strongroom.client.retries import Retries
from strongroom.client.trust import Trust

__all__ = [
    "WARM_UP_LOOPS",
    "Address",
    "Classification",
    "Classifier",
    "Client",
    "Credentials",
    "Load",
    "LoadRun",
    "Metadata",
    "ModelSpec",
    "Prediction",
    "Proof",
    "Protocol",
    "RankedClass",
    "Retries",
    "Shape",
    "Signature",
    "Tally",
    "TensorInfo",
    "Trust",
    "VersionStatus",
    "bench_report",
    "decode_image",
    "parse_address",
    "read_image",
    "read_labels",
    "top_classes",
]
