"""What an administrator may hear instead of an answer. Pure."""

from __future__ import annotations

from strongroom.errors import BadInput, Refused


class NotAuthenticated(Refused):
    """The caller did not present the certificate of an active administrator."""

    code = "SR-ADMIN-UNKNOWN"
    fix = "Present the client certificate that strongroom broker admin add made; an owner can say whether it is active."


class NotAllowed(Refused):
    """The caller's role does not include this action."""

    code = "SR-ADMIN-ROLE"
    fix = "Ask an owner to do it, or to give you the role (strongroom broker admin list shows the roles)."


class NoSuchThing(BadInput):
    """There is nothing of this name, or nothing that the caller may see."""

    code = "SR-ADMIN-NOT-FOUND"
    fix = "List what there is, and check name and tenant."


class BadArgument(BadInput):
    """An argument of an administrative action is missing, unknown or out of its bounds."""

    code = "SR-ADMIN-ARGUMENT"
    fix = "Check the request against /v1/openapi.json or the command's --help."


class AlreadySo(BadInput):
    """What was to be made is there already."""

    code = "SR-ADMIN-EXISTS"
    fix = "Choose another name, or use what is there."


class Outdated(Refused):
    """Something changed since the caller looked: a retry would change it twice."""

    code = "SR-ADMIN-OUTDATED"
    fix = "Look at what there is now; if the change is still wanted, ask again with the version shown."


class LastOwner(Refused):
    """This is the last active owner of everything; nobody could administer the broker afterwards."""

    code = "SR-ADMIN-LAST-OWNER"
    fix = "Add another owner first: strongroom broker admin add NAME --role owner."


class NotAClientCertificate(BadInput):
    """A certificate cannot identify a person: it is no client's, is a CA's, or is not valid now."""

    code = "SR-ADMIN-CERTIFICATE"
    fix = "Give a certificate for TLS clients (EKU clientAuth) that the workspace's CA signed and that is valid now."
