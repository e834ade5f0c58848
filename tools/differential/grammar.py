"""The grammar of wrong evidence: each production damages one thing, and most are signed again afterwards.

Three families. *Quote*: fields of header, body, QE report, lengths, certification data. *PKI*: certificates and CRLs,
by meaning (names, dates, roles, revocation) and by structure (one TLV damaged). *Reference data*: TCB info and QE
identity as JSON trees, as text, with their signatures and chains. A production takes randomness and a recipe, and
changes the recipe.
"""

from __future__ import annotations

import json
import random
import string
import struct
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeAlias

import der_tree
import forge
from forge import Recipe

Production: TypeAlias = Callable[[random.Random, Recipe], None]

STATUSES: Final = ("UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
                   "OutOfDate", "OutOfDateConfigurationNeeded", "Revoked", "Unheard", "uptodate", "")  # fmt: skip
NUMBERS: Final = (0, 1, 2, 5, 13, 127, 128, 255, 256, 65535, 65536, -1, 2**31, 2**32, 2**63, 2**64)
BASES: Final = tuple(
    (tee, version, body_type, ca)
    for tee, version, body_type in (("SGX", 3, 1), ("TDX", 4, 2), ("TDX", 5, 2), ("TDX", 5, 3))
    for ca in ("Platform", "Processor")
)
TD_REPORT_BYTES: Final = 584
_SOUND: Final = {base: forge.sound(*base[:3], ca=base[3]) for base in BASES}


def derive(seed: int) -> tuple[tuple[str, ...], Recipe]:
    """Return the names of one to three productions and the recipe that they make; a seed always gives the same."""
    rng = random.Random(seed)  # noqa: S311  # reproducible by its seed, which is the point
    recipe = _SOUND[rng.choice(BASES)].copy()
    chosen = rng.choices(PRODUCTIONS, k=rng.choice((1, 1, 1, 1, 2, 2, 3)))
    for production in chosen:
        production(rng, recipe)
    return tuple(production.__name__ for production in chosen), recipe


# --- quote ---------------------------------------------------------------------------------------------------------


def nothing_at_all(rng: random.Random, recipe: Recipe) -> None:
    """Sound evidence, so that both sides have to accept something."""


def bit_of_the_quote(rng: random.Random, recipe: Recipe) -> None:
    place, bit = rng.random(), 1 << rng.randrange(8)

    def flip(quote: bytes) -> bytes:
        index = int(place * len(quote))
        return quote[:index] + bytes([quote[index] ^ bit]) + quote[index + 1 :]

    recipe.quote.edit = flip


def end_of_the_quote(rng: random.Random, recipe: Recipe) -> None:
    cut, tail = rng.choice((0, 1, 4, 64, 1000)), rng.choice((b"", b"\0", bytes(70), b"\0" * 64 + b"x", b"junk"))
    recipe.quote.edit = lambda quote: quote[: len(quote) - cut] + tail


def declared_length(rng: random.Random, recipe: Recipe) -> None:
    """One of the length fields says something else."""
    delta: int = rng.choice((1, -1, 2, -2, 16, -16, 2**31, 2**32 - 1))
    start = 48 + len(recipe.quote.body) + (6 if recipe.quote.version == 5 else 0)
    nested = 6 if recipe.quote.version != 3 else 0
    auth = start + 4 + 128 + nested + 448
    places = [(start, 4), (auth, 2), (auth + 2 + len(recipe.quote.qe_auth) + 2, 4)]
    places += [(start + 4 + 130, 4)] if nested else []
    offset, size = rng.choice(places)

    def change(quote: bytes) -> bytes:
        value = int.from_bytes(quote[offset : offset + size], "little") + delta
        return quote[:offset] + (value % (1 << 8 * size)).to_bytes(size, "little") + quote[offset + size :]

    recipe.quote.edit = change


def header_word(rng: random.Random, recipe: Recipe) -> None:
    quote = recipe.quote
    step = rng.randrange(5)
    if step == 0:
        quote.version = rng.choice((0, 1, 2, 3, 4, 5, 6, 99))
    elif step == 1:
        quote.key_type = rng.choice((0, 1, 3, 4, 65535))
    elif step == 2:
        quote.header_tee = rng.choice((0, 1, 0x80, 0x81, 0x81000000, 2**32 - 1))
    elif step == 3:
        quote.vendor = rng.randbytes(16)
    else:
        quote.user_data = rng.randbytes(20)


def body_type(rng: random.Random, recipe: Recipe) -> None:
    recipe.quote.body_type = rng.choice((0, 1, 2, 3, 4, 5, 6))
    if rng.random() < 0.5:
        size = rng.choice((0, 384, 583, 584, 648, 885))
        recipe.quote.body = bytearray(bytes(recipe.quote.body)[:size].ljust(size, b"\0"))


def bytes_of_the_body(rng: random.Random, recipe: Recipe) -> None:
    if not recipe.quote.body:
        return
    start = rng.randrange(len(recipe.quote.body))
    for index in range(start, min(start + rng.choice((1, 1, 8)), len(recipe.quote.body))):
        recipe.quote.body[index] = rng.choice((0, 1, 2, 0x7F, 0xFF, rng.randrange(256)))


def attributes_of_the_td(rng: random.Random, recipe: Recipe) -> None:
    if recipe.quote.tee == forge.TDX and len(recipe.quote.body) >= TD_REPORT_BYTES:
        bits = 1 << 28 | 1 << rng.choice((0, 1, 7, 8, 27, 29, 30, 31, 32, 62, 63))
        recipe.quote.body[120:128] = struct.pack("<Q", bits if rng.random() < 0.8 else 0)


def tcb_of_the_td(rng: random.Random, recipe: Recipe) -> None:
    if recipe.quote.tee == forge.TDX and len(recipe.quote.body) >= TD_REPORT_BYTES:
        place = 584 if recipe.quote.body_type == 3 and rng.random() < 0.5 else 0
        recipe.quote.body[place : place + 3] = bytes(rng.choice((0, 1, 2, 3, 4, 5, 6, 255)) for _ in range(3))


def seam_of_the_td(rng: random.Random, recipe: Recipe) -> None:
    if recipe.quote.tee == forge.TDX and len(recipe.quote.body) >= TD_REPORT_BYTES:
        recipe.quote.body[rng.choice((64, 111, 112, 119))] = rng.choice((1, 0xFF))


def field_of_the_qe_report(rng: random.Random, recipe: Recipe) -> None:
    offset = rng.choice(
        (0, 16, 19, 20, 48, 49, 55, 56, 63, 64, 96, 128, 159, 160, 256, 257, 258, 259, 260, 304, 352, 383)
    )
    recipe.quote.qe_report[offset] ^= 1 << rng.randrange(8)


def svn_of_the_qe(rng: random.Random, recipe: Recipe) -> None:
    recipe.quote.qe_report[258:260] = struct.pack("<H", rng.choice((0, 3, 4, 5, 7, 8, 9, 65535)))


def qe_authentication_data(rng: random.Random, recipe: Recipe) -> None:
    recipe.quote.qe_auth = rng.randbytes(rng.choice((0, 1, 20, 31, 32, 33, 64, 1000)))
    recipe.quote.bind_key = rng.random() < 0.8


def signer_in_the_quote(rng: random.Random, recipe: Recipe) -> None:
    if rng.random() < 0.5:
        recipe.quote.report_signer = rng.choice(forge.ROLES)
    else:
        recipe.quote.body_signer = rng.choice(forge.ROLES)


def certification_type(rng: random.Random, recipe: Recipe) -> None:
    if rng.random() < 0.3:
        recipe.quote.outer_type = rng.choice((0, 1, 5, 6, 7))
        return
    recipe.quote.certification_type = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 65535))
    if rng.random() < 0.5:
        recipe.quote.certification_data = rng.randbytes(rng.choice((0, 36, 276, 404, 405)))


def chain_in_the_quote(rng: random.Random, recipe: Recipe) -> None:
    chain = recipe.quote.chain
    if not chain:
        return
    step = rng.randrange(7)
    if step == 0:
        rng.shuffle(chain)
    elif step == 1:
        chain.pop(rng.randrange(len(chain)))
    elif step == 2:
        chain.append(rng.choice(list(recipe.certificates)))
    elif step == 3:
        chain[rng.randrange(len(chain))] = rng.choice(list(recipe.certificates))
    elif step == 4:
        recipe.quote.chain_tail = rng.choice((b"", b"\0\0\0", b"\n\0", b" \0", b"junk", b"\0junk"))
    elif step == 5:
        chain.clear()
    else:
        recipe.quote.certification_data = rng.randbytes(100)


def bytes_left_over(rng: random.Random, recipe: Recipe) -> None:
    extra = rng.choice((b"\0", b"x", bytes(64), b"\0" * 5000 + b"\1"))
    setattr(recipe.quote, rng.choice(("auth_tail", "inner_tail", "trailing")), extra)


# --- PKI -----------------------------------------------------------------------------------------------------------


def _any_certificate(rng: random.Random, recipe: Recipe) -> forge.Certificate:
    return recipe.certificates[rng.choice(("root", "pck_ca", "pck", "tcb_signer"))]


def dates_of_a_certificate(rng: random.Random, recipe: Recipe) -> None:
    made = _any_certificate(rng, recipe)
    if rng.random() < 0.5:
        made.since = recipe.at + timedelta(seconds=rng.choice((-1, 0, 1, 86400)))
    else:
        made.until = recipe.at + timedelta(seconds=rng.choice((-86400, -1, 0, 1)))


def name_of_a_certificate(rng: random.Random, recipe: Recipe) -> None:
    made = _any_certificate(rng, recipe)
    names = [other.name for other in recipe.certificates.values()]
    changed = rng.choice([*names, made.name.lower(), made.name + " ", "Intel SGX PCK Certificate", "x" * 64])
    if rng.random() < 0.5:
        made.name = changed
    else:
        made.issuer = changed


def signer_of_a_certificate(rng: random.Random, recipe: Recipe) -> None:
    made = _any_certificate(rng, recipe)
    made.signer = rng.choice(forge.ROLES)
    if rng.random() < 0.3:
        made.issuer = recipe.certificates.get(made.signer, made).name


def key_of_a_certificate(rng: random.Random, recipe: Recipe) -> None:
    _any_certificate(rng, recipe).key = rng.choice(forge.ROLES)


def powers_of_a_certificate(rng: random.Random, recipe: Recipe) -> None:
    made = _any_certificate(rng, recipe)
    switch = rng.choice(("ca", "signs_certificates", "signs_data", "constraints", "usage", "identifiers", "sha384"))
    setattr(made, switch, not getattr(made, switch))
    if rng.random() < 0.3:
        made.path_length = rng.choice((None, 0, 1, 2))


def sgx_extension(rng: random.Random, recipe: Recipe) -> None:
    made = recipe.certificates["pck"]
    components = [11, 11, 2, 2, 255, 1, *[0] * 10]
    step = rng.randrange(7)
    if step == 0:
        made.sgx = None
    elif step == 1:
        made.sgx = forge.sgx_extension(components, pce_id=rng.choice((b"\0\1", b"\0", b"\0\0\0")))
    elif step == 2:
        made.sgx = forge.sgx_extension(components, fmspc=rng.choice((b"\xf0\xa1\xb2\xc3\xd4\xe6", b"\0" * 5, bytes(7))))
    elif step == 3:
        made.sgx = forge.sgx_extension(components, pce_svn=rng.choice((0, 12, 14, 255, 65535, 65536, -1)))
    elif step == 4:
        components[rng.randrange(16)] = rng.choice((0, 1, 10, 12, 128, 255, 256, -1))
        made.sgx = forge.sgx_extension(components)
    elif step == 5:
        made.sgx = forge.sgx_extension(components[: rng.randrange(16)])
    elif made.sgx is not None:
        made.sgx = der_tree.damage(made.sgx, rng)


def structure_of_a_certificate(rng: random.Random, recipe: Recipe) -> None:
    seed = rng.random()
    _any_certificate(rng, recipe).edit = lambda signed: der_tree.damage(signed, random.Random(seed))  # noqa: S311


def dates_of_a_crl(rng: random.Random, recipe: Recipe) -> None:
    made = rng.choice(list(recipe.crls.values()))
    if rng.random() < 0.5:
        made.since = recipe.at + timedelta(seconds=rng.choice((-1, 0, 1, 86400)))
    else:
        made.until = recipe.at + timedelta(seconds=rng.choice((-3600, -1, 0, 1)))


def entries_of_a_crl(rng: random.Random, recipe: Recipe) -> None:
    made = rng.choice(list(recipe.crls.values()))
    made.revoked = [rng.choice((1, 2, 3, 4, 5, 2**70)) for _ in range(rng.choice((1, 1, 2, 50)))]


def role_of_a_crl(rng: random.Random, recipe: Recipe) -> None:
    made = rng.choice(list(recipe.crls.values()))
    step = rng.randrange(5)
    if step == 0:
        made.signer = rng.choice(forge.ROLES)
    elif step == 1:
        made.issuer = rng.choice([other.name for other in recipe.certificates.values()])
    elif step == 2:
        made.number = False
    elif step == 3:
        made.identifier = False
    else:
        recipe.crls = {"root": recipe.crls["pck"], "pck": recipe.crls["root"]}


def structure_of_a_crl(rng: random.Random, recipe: Recipe) -> None:
    seed = rng.random()
    made = rng.choice(list(recipe.crls.values()))
    made.revoked = made.revoked or [99]
    made.edit = lambda signed: der_tree.damage(signed, random.Random(seed))  # noqa: S311


# --- reference data ------------------------------------------------------------------------------------------------


def _any_document(rng: random.Random, recipe: Recipe) -> forge.Document:
    return rng.choice(list(recipe.documents.values()))


def member_of_a_document(rng: random.Random, recipe: Recipe) -> None:
    """Change, drop, rename or double one value anywhere in the tree."""
    places = list(_places(_any_document(rng, recipe).value))
    container, key = rng.choice(places)
    value = container[key]
    step = rng.randrange(6)
    if step == 0:
        del container[key]
    elif step == 1 and isinstance(container, dict):
        container[key + "x"] = container.pop(key)
    elif step == 2 and isinstance(container, list):
        container.insert(key, value)
    else:
        container[key] = _other_value(rng, value)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every value in a JSON tree."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def _other_value(rng: random.Random, value: Any) -> Any:
    if rng.random() < 0.2:
        return rng.choice((None, True, 0, -1, 1.5, "", "0", [], {}, [value]))
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return rng.choice(NUMBERS)
    if isinstance(value, str):
        if value in STATUSES:
            return rng.choice(STATUSES)
        return rng.choice(
            (value.lower(), value.upper(), value[:-1], value + "0", "00" * (len(value) // 2), "zz" + value[2:])
        )
    return rng.choice(([], {}, [value] if isinstance(value, dict) else value[::-1]))


def levels_of_a_document(rng: random.Random, recipe: Recipe) -> None:
    """Reorder levels, or put in another one near the platform's own."""
    document = _any_document(rng, recipe).value
    levels: Any = document.get("tcbLevels")
    if not isinstance(levels, list) or not levels:
        return
    if rng.random() < 0.5:
        rng.shuffle(levels)
        return
    added = json.loads(json.dumps(rng.choice(levels)))
    added["tcbStatus"] = rng.choice(STATUSES[:7])
    tcb = added.get("tcb")
    if isinstance(tcb, dict):
        for name, part in list(tcb.items()):
            if isinstance(part, int):
                tcb[name] = max(0, part + rng.choice((-1, 0, 1)))
            elif isinstance(part, list) and part and isinstance(part[0], dict):
                index = rng.randrange(len(part))
                part[index] = {"svn": max(0, part[index].get("svn", 0) + rng.choice((-1, 0, 1)))}
    levels.insert(rng.randrange(len(levels) + 1), added)


def status_of_a_level(rng: random.Random, recipe: Recipe) -> None:
    document: Any = _any_document(rng, recipe).value
    levels = document.get("tcbLevels") or [{}]
    modules = document.get("tdxModuleIdentities")
    if isinstance(modules, list) and modules and rng.random() < 0.4:
        levels = modules[0].get("tcbLevels") or [{}]
    level = rng.choice(levels) if isinstance(levels, list) else {}
    if isinstance(level, dict):
        level["tcbStatus"] = rng.choice(STATUSES)
        if rng.random() < 0.5:
            level["advisoryIDs"] = rng.choice(([], ["INTEL-SA-00615"], ["INTEL-SA-00001", "INTEL-SA-00001"], "x", [1]))


def module_of_a_document(rng: random.Random, recipe: Recipe) -> None:
    document = recipe.documents["tcb_info"].value
    modules: Any = document.get("tdxModuleIdentities")
    step = rng.randrange(4)
    if step == 0:
        document.pop(rng.choice(("tdxModule", "tdxModuleIdentities")), None)
    elif not isinstance(modules, list) or not modules:
        document["tdxModuleIdentities"] = []
    elif step == 1:
        modules[0]["id"] = rng.choice(("TDX_01", "tdx_01", "TDX_1", "TDX_02", "TDX_FF", "", "TDX_001"))
    elif step == 2:
        modules.append(json.loads(json.dumps(modules[0])))
    else:
        modules[0][rng.choice(("mrsigner", "attributes", "attributesMask"))] = rng.choice(
            ("00" * 8, "00" * 48, "01" * 48)
        )


def dates_of_a_document(rng: random.Random, recipe: Recipe) -> None:
    document = _any_document(rng, recipe).value
    moment = recipe.at + timedelta(seconds=rng.choice((-86400, -1, 0, 1, 86400)))
    form = rng.choice(("%Y-%m-%dT%H:%M:%SZ",) * 4 + ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S+00:00", "%Y-%m-%d"))
    document[rng.choice(("issueDate", "nextUpdate"))] = moment.strftime(form)


def text_of_a_document(rng: random.Random, recipe: Recipe) -> None:
    """Change the text itself: before it is signed, or after."""
    place = rng.random()
    changes: tuple[Callable[[str], str], ...] = (
        lambda text: text + " ",
        lambda text: " " + text,
        lambda text: text.replace(":", ": ", 1),
        lambda text: text[:-1] + ',"extra":[1,{"x":null}]}',
        lambda text: text[:-1] + ',"version":3}',
        lambda text: text[:-1] + ',"extra":NaN}',
        lambda text: text + "{}",
        lambda text: text[: int(place * len(text))],
        lambda text: "[" * 100 + text + "]" * 100,
        lambda text: text[:-1] + ',"deep":' + "[" * 50 + "]" * 50 + "}",
        lambda text: "\ufeff" + text,
        lambda text: text.replace('"UpToDate"', '"\\u0055pToDate"', 1),
        lambda text: text.replace("20,", "2e1,", 1),
    )
    change = rng.choice(changes)
    document = _any_document(rng, recipe)
    if rng.random() < 0.6:
        document.edit = change
    else:
        document.wrap = change


def signer_of_a_document(rng: random.Random, recipe: Recipe) -> None:
    document = _any_document(rng, recipe)
    role = rng.choice(tuple(recipe.certificates))
    document.signer = role
    if rng.random() < 0.7:
        chains = {"pck": ["pck", "pck_ca", "root"], "pck_ca": ["pck_ca", "root"], "root": ["root"]}
        document.chain = chains.get(role, [role, "root"])


def chain_of_collateral(rng: random.Random, recipe: Recipe) -> None:
    chain = rng.choice([recipe.crl_chain, *(document.chain for document in recipe.documents.values())])
    step = rng.randrange(4)
    if step == 0:
        chain.reverse()
    elif step == 1 and chain:
        chain.pop()
    elif step == 2:
        chain.append(rng.choice(list(recipe.certificates)))
    elif chain:
        chain[rng.randrange(len(chain))] = rng.choice(list(recipe.certificates))


def string_of_collateral(rng: random.Random, recipe: Recipe) -> None:
    """One of the nine strings is empty, cut, in another case, doubled, exchanged or noise."""
    step, place, noise = rng.randrange(6), rng.random(), "".join(rng.choices(string.printable, k=40))
    pick = rng.random()

    def rewrite(strings: dict[str, str]) -> None:
        names = sorted(strings)
        name, other = names[int(pick * len(names))], names[int(place * len(names))]
        text = strings[name]
        cut = int(place * len(text))
        strings[name] = (
            "",
            text[:cut],
            text.upper(),
            text.swapcase(),
            text[:cut] + noise + text[cut:],
            strings[other],
        )[step]

    recipe.rewrite = rewrite


def time_of_verification(rng: random.Random, recipe: Recipe) -> None:
    recipe.at += timedelta(days=rng.choice((-4000, -401, -399, -2, -1, 1, 28, 29, 30, 299, 301, 1999, 2001)))


PRODUCTIONS: Final[tuple[Production, ...]] = tuple(
    value
    for name, value in list(globals().items())
    if callable(value)
    and getattr(value, "__module__", "") == __name__
    and not name.startswith("_")
    and name != "derive"
)
