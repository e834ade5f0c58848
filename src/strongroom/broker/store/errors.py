"""What can go wrong with the store itself; errors of what is kept in it stand with their own rooms."""

from __future__ import annotations

from strongroom.errors import BadInput, Refused, Tampered, Unreachable


class StoreUnavailable(Unreachable):
    """The broker's database cannot be reached or written at the moment, so nothing is released."""

    code = "SR-STORE-UNAVAILABLE"
    fix = "Bring the database back or free its disk; brokers go on by themselves."


class StoreBusy(Unreachable):
    """More changes are waiting for the database than the broker keeps in memory."""

    code = "SR-STORE-BUSY"
    fix = "Ask again later; if it stays so, give the database a faster disk or the brokers fewer callers."


class StoreConflict(BadInput):
    """What was to be written is there already, or contradicts what is there."""

    code = "SR-STORE-CONFLICT"
    fix = "Look at what is there, and ask for something else."


class StoreDamaged(Tampered):
    """The broker's database is not one that Strongroom wrote, or its pages do not hold together."""

    code = "SR-STORE-DAMAGED"
    fix = "Stop the brokers, keep a copy of the file for an investigation, and restore the newest backup."


class StoreTooNew(Refused):
    """A newer Strongroom has written the database; an older one would misread it."""

    code = "SR-STORE-TOO-NEW"
    fix = "Run this command with the newer Strongroom."


class StoreMoved(Refused):
    """The database was moved to another one, so a broker that went on here would split the ledger."""

    code = "SR-STORE-MOVED"
    fix = "Name the new database as store in [broker] of strongroom.toml."


class StoreAddress(BadInput):
    """The place of the store is no file and no address of a PostgreSQL database."""

    code = "SR-STORE-ADDRESS"
    fix = 'Name a file, or a database as "postgresql://HOST/DATABASE".'


class StorePassword(Refused):
    """A database password stands where others can read it: in the address or in the environment."""

    code = "SR-STORE-PASSWORD"
    fix = 'Put it into a passfile of mode 0600 and name that: "postgresql://USER@HOST/DATABASE?passfile=/PATH".'


class StoreUnencrypted(Refused):
    """The way to the database would not be encrypted and checked, and it leaves this machine."""

    code = "SR-STORE-TLS"
    fix = "Leave sslmode out or set it to verify-full, and name the database's CA with sslrootcert=/PATH."


class StoreNotDurable(Refused):
    """The database is set up to lose what it confirmed when the machine loses power."""

    code = "SR-STORE-NOT-DURABLE"
    fix = "Set fsync = on and full_page_writes = on in postgresql.conf and restart the server."


class StoreExtraMissing(BadInput):
    """PostgreSQL is named as the store, and the library that speaks to it is not installed."""

    code = "SR-STORE-EXTRA"
    fix = "Run pip install 'strongroom[postgres]'."
