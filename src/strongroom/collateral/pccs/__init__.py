"""A local PCCS: Intel's certification API, from recordings, files, a simulated platform or a mirror.

Law of this room: it serves what others signed, byte for byte, and vouches for nothing; clients verify. What it does not
have it says it does not have. A peer learns a status and a request id, never where the server looked or why it failed.
"""

from strongroom.collateral.pccs.administration import Administration, Mode
from strongroom.collateral.pccs.app import AppLimits, make_app
from strongroom.collateral.pccs.backend import Backend, InOrder
from strongroom.collateral.pccs.files import Files, Made, Stock
from strongroom.collateral.pccs.mirror import Mirror
from strongroom.collateral.pccs.pck_certificates import PckCertificate
from strongroom.collateral.pccs.recorded import Recorded
from strongroom.collateral.pccs.registrations import Registrations
from strongroom.collateral.pccs.server import Place, PlaintextRefused, serve
from strongroom.collateral.pccs.shelf import Document, Shelf
from strongroom.collateral.pccs.tokens import Tokens, Unauthorised

__all__ = [
    "Administration",
    "AppLimits",
    "Backend",
    "Document",
    "Files",
    "InOrder",
    "Made",
    "Mirror",
    "Mode",
    "PckCertificate",
    "Place",
    "PlaintextRefused",
    "Recorded",
    "Registrations",
    "Shelf",
    "Stock",
    "Tokens",
    "Unauthorised",
    "make_app",
    "serve",
]
