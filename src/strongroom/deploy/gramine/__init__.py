"""What runs in the enclave: Gramine and Occlum files of a description's programs, and the simulated replica's manifest.

Pure: values in, text out.
"""

from strongroom.deploy.gramine.places import PYTHON, PythonPlaces
from strongroom.deploy.gramine.programs import programs, ssl_link
from strongroom.deploy.gramine.server_words import app_files, broker_address, broker_host, model_list
from strongroom.deploy.gramine.simulated import replica_manifest
from strongroom.deploy.gramine.tree import manifests

__all__ = [
    "PYTHON",
    "PythonPlaces",
    "app_files",
    "broker_address",
    "broker_host",
    "manifests",
    "model_list",
    "programs",
    "replica_manifest",
    "ssl_link",
]
