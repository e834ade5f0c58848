"""Administer a broker: what people may do, as methods, over HTTP, and from the command line.

Law of this room: every action asks first who acts, in which role and for which tenant; what no table allows is refused.
Another tenant's things are answered as if they were not there. A change and its line in the ledger are one transaction,
and no answer, line or log holds a secret.
"""

from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.base import Parts
from strongroom.broker.admin.roles import ALL_TENANTS, Actor, Role

__all__ = ["ALL_TENANTS", "Actor", "Administration", "Parts", "Role"]
