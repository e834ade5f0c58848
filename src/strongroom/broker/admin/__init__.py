"""Administer a broker: what people may do, as methods, over HTTP, and from the command line.

Law of this room: every action asks first who acts, in which role and for which tenant; what no table allows is refused.
Another tenant's things are answered as if they were not there. A change and its line in the ledger are one transaction,
and no answer, line or log holds a secret.
"""
