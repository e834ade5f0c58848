"""Who administers: registered certificates, one person each, and logins for the console (threats SA-09, SV-15)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any, Final

from strongroom.broker.admin.base import MAX_LISTED, Actions, action, existing_tenant
from strongroom.broker.admin.certificates import Presented, read_presented, read_registered
from strongroom.broker.admin.problems import AlreadySo, BadArgument, LastOwner, NoSuchThing, NotAuthenticated
from strongroom.broker.admin.roles import ALL_TENANTS, WORKSPACE, Actor, Role, no_tenant
from strongroom.broker.admin.views import ActorView, AdminView, LoginView
from strongroom.broker.names import check_tenant
from strongroom.broker.store import Tx

ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"
REMOVED: Final = "removed"
LOGIN_MS: Final = 5 * 60 * 1000
MAX_LOGINS: Final = 1000  # open ones, of all people
MAX_OWN_LOGINS: Final = 20  # of one person, who must not keep the others out
_TOKEN_BYTES: Final = 32
_LOGIN: Final = "login"
_COLUMNS: Final = "fingerprint, name, role, tenant, state, created_ms, not_after_ms"


class PeopleActions(Actions):
    """Actions on people, and the two ways in which one becomes an actor."""

    def actor_of(self, certificate: bytes | None) -> Actor:
        """Return whom a client certificate (DER) identifies. Raises NotAuthenticated, whatever the reason.

        The sentence of the error is for the owner's log; a peer is told the code alone.
        """
        if certificate is None:
            raise NotAuthenticated("no client certificate was presented")
        presented = read_presented(certificate)
        return self._store.read(lambda tx: _actor(tx, presented))

    @action
    def whoami(self, actor: Actor) -> ActorView:
        """Return the actor."""
        return ActorView(
            name=actor.name, role=actor.role.value, tenant=actor.tenant, fingerprint=actor.fingerprint
        )  # fmt: skip

    @action
    def create_login(self, actor: Actor) -> LoginView:
        """Return a token that opens the console once within five minutes. The store keeps its hash alone."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        hashed = _hashed(token)

        def change(tx: Tx) -> int:
            tx.execute("DELETE FROM logins WHERE expires_ms <= ?", (tx.now_ms,))
            [[count]] = tx.execute("SELECT count(*) FROM logins")
            [[own]] = tx.execute(
                "SELECT count(*) FROM logins WHERE kind = ? AND name = ? AND tenant = ?",
                (_LOGIN, actor.name, actor.tenant),
            )
            if count >= MAX_LOGINS or own >= MAX_OWN_LOGINS:
                raise BadArgument(f"{count} logins are open", fix="Use one of them, or wait until they expire.")
            expires_ms = tx.now_ms + LOGIN_MS
            tx.execute(
                "INSERT INTO logins (token_hash, kind, name, role, tenant, expires_ms, used_ms, seal)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (hashed, _LOGIN, actor.name, actor.role.value, actor.tenant, expires_ms, None,
                 self.login_seal(hashed, _LOGIN, actor, expires_ms)),
            )  # fmt: skip
            return expires_ms

        expires_ms = self._change(actor, "create_login", change, lambda ends: {"expires_ms": ends})
        return LoginView(token=token, expires_ms=expires_ms)

    def redeem_login(self, token: str) -> Actor:
        """Return who asked for a login token, once. Raises NotAuthenticated for all others."""
        hashed = _hashed(token)
        self._store.read(lambda tx: self._open_login(tx, hashed))  # a guess costs no write

        def change(tx: Tx) -> Actor:
            actor = self._open_login(tx, hashed)
            tx.execute("UPDATE logins SET used_ms = ? WHERE token_hash = ?", (tx.now_ms, hashed))
            record = {"kind": "admin", "action": "redeem_login", "actor": actor.to_json_object()}
            self._parts.ledger.append(tx, record)
            return actor

        return self._store.write(change)

    def _open_login(self, tx: Tx, hashed: str) -> Actor:
        rows = tx.execute(
            "SELECT name, role, tenant, expires_ms, seal FROM logins WHERE token_hash = ? AND kind = ?"
            " AND used_ms IS NULL AND expires_ms > ?",
            (hashed, _LOGIN, tx.now_ms),
        )
        if not rows:
            raise NotAuthenticated("the login is unknown, used or too old")
        return self.login_actor(hashed, _LOGIN, rows[0])

    def login_seal(self, hashed: str, kind: str, actor: Actor, expires_ms: int) -> str:
        """Return what vouches for a login or a session: who writes to the store cannot make one (threat SA-09)."""
        words = (kind, hashed, actor.name, actor.role.value, actor.tenant, expires_ms)
        return self._parts.ledger.seal_of("login", *words)

    def login_actor(self, hashed: str, kind: str, row: Sequence[Any]) -> Actor:
        """Return whom a row (name, role, tenant, expires_ms, seal) names. Raises NotAuthenticated without its seal."""
        name, role, tenant, expires_ms, seal = row
        if role in list(Role):
            actor = Actor(name=name, role=Role(role), tenant=tenant)
            ours = self.login_seal(hashed, kind, actor, expires_ms)
            if hmac.compare_digest(ours.encode(), str(seal).encode("utf-8", "replace")):
                return actor
        raise NotAuthenticated(f"the login of {name!r:.80} was not written by a broker: somebody wrote to the store")

    def check_active(self, actor: Actor) -> None:
        """Raise NotAuthenticated if the person behind a session is no administrator any more."""
        if actor.name.startswith(WORKSPACE):
            return
        rows = self._store.read(
            lambda tx: tx.execute(
                "SELECT 1 FROM admins WHERE name = ? AND role = ? AND tenant = ? AND state = ? AND not_after_ms > ?",
                (actor.name, actor.role.value, actor.tenant, ACTIVE, tx.now_ms),
            )
        )
        if not rows:
            raise NotAuthenticated(f"{actor.name} is no active {actor.role.value} any more")

    @action
    def list_admins(self, actor: Actor) -> list[AdminView]:
        """Return the registered certificates that the actor may see, by name."""
        condition, value = (" WHERE tenant = ?", (actor.tenant,)) if actor.confined else ("", ())
        rows = self._store.read(
            lambda tx: tx.execute(
                f"SELECT {_COLUMNS} FROM admins{condition} ORDER BY name, created_ms LIMIT {MAX_LISTED}",  # noqa: S608
                value,
            )
        )
        return [_view(row) for row in rows]

    @action
    def add_admin(self, actor: Actor, *, name: str, role: str, tenant: str, certificate: str) -> AdminView:
        """Register a client certificate (PEM) as a person's.

        Raises NotAClientCertificate, AlreadySo where it is registered or the name means another role, or NoSuchThing.
        """
        if name.startswith(WORKSPACE):
            raise BadArgument(f"nobody is called {name[:64]}: that is who acts on the owner's own machine")
        if role not in list(Role):
            raise BadArgument(f"{role[:40]!r} is no role")
        if tenant != ALL_TENANTS:
            check_tenant(tenant)
        presented = read_registered(certificate)

        def change(tx: Tx) -> AdminView:
            if tenant != ALL_TENANTS:
                existing_tenant(tx, tenant)
            return register(tx, presented, name=name, role=Role(role), tenant=tenant)

        return self._change(actor, "add_admin", change, about)

    @action
    def suspend_admin(self, actor: Actor, *, fingerprint: str) -> AdminView:
        """Refuse a certificate until it is resumed. Raises NoSuchThing or LastOwner."""
        return self._set_admin_state(actor, "suspend_admin", fingerprint, SUSPENDED)

    @action
    def resume_admin(self, actor: Actor, *, fingerprint: str) -> AdminView:
        """Take a suspended certificate again. Raises NoSuchThing."""
        return self._set_admin_state(actor, "resume_admin", fingerprint, ACTIVE)

    @action
    def remove_admin(self, actor: Actor, *, fingerprint: str) -> AdminView:
        """Refuse a certificate for ever; its line stays for the record. Raises NoSuchThing or LastOwner."""
        return self._set_admin_state(actor, "remove_admin", fingerprint, REMOVED)

    def _set_admin_state(self, actor: Actor, name: str, fingerprint: str, state: str) -> AdminView:
        def change(tx: Tx) -> AdminView:
            found = _find(tx, fingerprint)
            if found is None or not actor.sees(found["tenant"]) or found["state"] == REMOVED:
                raise NoSuchThing(f"no certificate {fingerprint[:64]!r} is registered")
            if state != ACTIVE:
                _check_another_owner(tx, found)
                tx.execute("DELETE FROM logins WHERE name = ? AND tenant = ?", (found["name"], found["tenant"]))
            tx.execute("UPDATE admins SET state = ? WHERE fingerprint = ?", (state, fingerprint))
            found["state"] = state
            return found

        return self._change(actor, name, change, about)


def register(tx: Tx, presented: Presented, *, name: str, role: Role, tenant: str) -> AdminView:
    """Write a certificate as a person's, and return its line. Raises AlreadySo or NotAClientCertificate."""
    presented.check_valid(tx.now_ms)
    if _find(tx, presented.fingerprint) is not None:
        raise AlreadySo("this certificate is registered already", fix="Make another one: no two people share one.")
    others = tx.execute(
        "SELECT role, tenant FROM admins WHERE name = ? AND state <> ? AND not_after_ms > ?",
        (name, REMOVED, tx.now_ms),
    )
    if any((other, whose) != (role.value, tenant) for other, whose in others):
        raise AlreadySo(f"{name} is registered with another role or tenant", fix="Remove that certificate first.")
    values = (presented.fingerprint, name, role.value, tenant, ACTIVE, tx.now_ms, presented.not_after_ms)
    tx.execute(f"INSERT INTO admins ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608  # columns
    return _view(values)


def registered(tx: Tx, fingerprint: str) -> bool:
    """Return whether a certificate is known, in whatever state."""
    return _find(tx, fingerprint) is not None


def _actor(tx: Tx, presented: Presented) -> Actor:
    presented.check_presentable(tx.now_ms)
    found = _find(tx, presented.fingerprint)
    if found is None or found["state"] != ACTIVE:
        state = "not registered" if found is None else found["state"]
        raise NotAuthenticated(f"the certificate {presented.fingerprint} is {state}")
    if found["tenant"] != ALL_TENANTS and not tx.execute("SELECT 1 FROM tenants WHERE name = ?", (found["tenant"],)):
        raise NotAuthenticated(no_tenant(found["tenant"]).sentence)
    return Actor(
        name=found["name"], role=Role(found["role"]), tenant=found["tenant"], fingerprint=presented.fingerprint
    )  # fmt: skip


def _check_another_owner(tx: Tx, found: AdminView) -> None:
    """Raise LastOwner if nobody could administer everything once `found` is refused."""
    if found["role"] != Role.OWNER or found["tenant"] != ALL_TENANTS or found["state"] != ACTIVE:
        return
    rows = tx.execute(
        "SELECT 1 FROM admins WHERE role = ? AND tenant = ? AND state = ? AND not_after_ms > ? AND fingerprint <> ?",
        (Role.OWNER.value, ALL_TENANTS, ACTIVE, tx.now_ms, found["fingerprint"]),
    )
    if not rows:
        raise LastOwner(f"{found['name']} is the last active owner of all tenants")


def _find(tx: Tx, fingerprint: str) -> AdminView | None:
    rows = tx.execute(f"SELECT {_COLUMNS} FROM admins WHERE fingerprint = ?", (fingerprint,))  # noqa: S608  # columns
    return _view(rows[0]) if rows else None


def _view(row: Sequence[Any]) -> AdminView:
    fingerprint, name, role, tenant, state, created_ms, not_after_ms = row
    return AdminView(
        fingerprint=fingerprint, name=name, role=role, tenant=tenant, state=state, created_ms=created_ms,
        not_after_ms=not_after_ms,
    )  # fmt: skip


def about(view: AdminView) -> dict[str, Any]:
    """Return what the ledger says of a certificate."""
    return {"admin": view["name"], "role": view["role"], "tenant": view["tenant"], "fingerprint": view["fingerprint"]}


def _hashed(token: str) -> str:
    return hashlib.sha256(b"strongroom console login\0" + token.encode("utf-8", "replace")).hexdigest()
