"""The tables, in the SQL that SQLite and PostgreSQL share but for two type names. Pure.

A migration is never changed once it has been released; another one is added behind it.
"""

from __future__ import annotations

from typing import Final

_FIRST: Final = """
CREATE TABLE ledger_lines (seq {int} PRIMARY KEY, line {blob} NOT NULL);
CREATE TABLE ledger_head (id {int} PRIMARY KEY, seq {int} NOT NULL, digest TEXT NOT NULL, time_ms {int} NOT NULL,
    frontier {blob} NOT NULL, root_size {int} NOT NULL, root {blob} NOT NULL, seal {blob} NOT NULL);
CREATE TABLE ledger_roots (size {int} PRIMARY KEY, time_ms {int} NOT NULL, root {blob} NOT NULL,
    signature {blob} NOT NULL, key_id TEXT NOT NULL);
CREATE TABLE tenants (name TEXT PRIMARY KEY, state TEXT NOT NULL, created_ms {int} NOT NULL, settings TEXT NOT NULL);
CREATE TABLE admins (fingerprint TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, tenant TEXT NOT NULL,
    state TEXT NOT NULL, created_ms {int} NOT NULL, not_after_ms {int} NOT NULL);
CREATE TABLE policies (tenant TEXT NOT NULL, version {int} NOT NULL, digest TEXT NOT NULL, text {blob} NOT NULL,
    author TEXT NOT NULL, created_ms {int} NOT NULL, state TEXT NOT NULL, PRIMARY KEY (tenant, version));
CREATE TABLE policy_votes (tenant TEXT NOT NULL, version {int} NOT NULL, signer TEXT NOT NULL,
    signature {blob} NOT NULL, created_ms {int} NOT NULL, PRIMARY KEY (tenant, version, signer));
CREATE TABLE tenant_keys (tenant TEXT NOT NULL, generation {int} NOT NULL, wrapped {blob} NOT NULL,
    root_id TEXT NOT NULL, state TEXT NOT NULL, created_ms {int} NOT NULL, PRIMARY KEY (tenant, generation));
CREATE TABLE secrets (tenant TEXT NOT NULL, name TEXT NOT NULL, version {int} NOT NULL, kind TEXT NOT NULL,
    state TEXT NOT NULL, wrapped {blob} NOT NULL, generation {int} NOT NULL, bytes {int} NOT NULL,
    author TEXT NOT NULL, created_ms {int} NOT NULL, until_ms {int} NOT NULL, PRIMARY KEY (tenant, name, version));
CREATE TABLE model_floors (tenant TEXT NOT NULL, model TEXT NOT NULL, min_version {int} NOT NULL, author TEXT NOT NULL,
    set_ms {int} NOT NULL, PRIMARY KEY (tenant, model));
CREATE TABLE leases (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, secret TEXT NOT NULL, rule TEXT NOT NULL,
    holder TEXT NOT NULL, protocol TEXT NOT NULL, peer TEXT NOT NULL, measurement TEXT NOT NULL,
    platform TEXT NOT NULL, tcb_status TEXT NOT NULL, broker TEXT NOT NULL, state TEXT NOT NULL,
    granted_ms {int} NOT NULL, renewed_ms {int} NOT NULL, expires_ms {int} NOT NULL, renewals {int} NOT NULL,
    marks TEXT NOT NULL);
CREATE INDEX leases_live ON leases (tenant, rule, secret, expires_ms);
CREATE INDEX leases_expiry ON leases (expires_ms);
CREATE TABLE revocations (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL,
    reason TEXT NOT NULL, author TEXT NOT NULL, created_ms {int} NOT NULL, lifted_ms {int});
CREATE INDEX revocations_value ON revocations (kind, value);
CREATE TABLE sessions (id TEXT PRIMARY KEY, nonce TEXT NOT NULL, tee TEXT NOT NULL, state TEXT NOT NULL,
    created_ms {int} NOT NULL, expires_ms {int} NOT NULL, body {blob} NOT NULL);
CREATE INDEX sessions_expiry ON sessions (expires_ms);
CREATE TABLE rates (bucket TEXT PRIMARY KEY, window_ms {int} NOT NULL, spent {int} NOT NULL);
CREATE INDEX rates_window ON rates (window_ms);
CREATE TABLE logins (token_hash TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
    tenant TEXT NOT NULL, expires_ms {int} NOT NULL, used_ms {int});
CREATE TABLE seen_numbers (root_key_id TEXT NOT NULL, tee TEXT NOT NULL, fmspc TEXT NOT NULL, number {int} NOT NULL,
    PRIMARY KEY (root_key_id, tee, fmspc));
CREATE TABLE batches (writer TEXT PRIMARY KEY, number {int} NOT NULL, time_ms {int} NOT NULL);
CREATE TABLE brokers (id TEXT PRIMARY KEY, address TEXT NOT NULL, version TEXT NOT NULL, started_ms {int} NOT NULL,
    seen_ms {int} NOT NULL)
"""

_VOUCHED: Final = """
ALTER TABLE ledger_head ADD COLUMN vouched {blob} NOT NULL DEFAULT '';
ALTER TABLE logins ADD COLUMN seal TEXT NOT NULL DEFAULT ''
"""

MIGRATIONS: Final = (_FIRST, _VOUCHED)  # number n is the n-th, from 1; the table `meta` says how many were run
META: Final = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value {blob} NOT NULL)"


def statements(migration: str, *, integer: str, blob: str) -> tuple[str, ...]:
    """Return the statements of a migration with the database's own names for 64-bit integers and bytes."""
    text = migration.replace("{int}", integer).replace("{blob}", blob)
    return tuple(part.strip() for part in text.split(";") if part.strip())
