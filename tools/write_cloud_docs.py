"""Write docs/clouds/ from the cloud profiles; `--check` says whether the pages are current."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from strongroom.deploy import clouds
from strongroom.deploy.clouds import Profile

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "clouds"
MARK: Final = "<!-- written by make docs from the cloud profiles -->"
KEYS: Final = (
    ("name, title", "what the profile is called; the file is NAME.toml"),
    ("instance_types", "machines with SGX or TDX there"),
    ("collateral", "a source as `[collateral] sources` names it: [collateral](../collateral.md)"),
    ("pccs_url", "the same place as an address, for the quote library's own configuration"),
    ("attestation_provider", "the address of an attestation service"),
    ("sgx_resources, epc_resource", "what a pod asks the SGX device plugin for"),
    ("aesmd_socket", "a folder of the node, only where quotes come from the node's aesmd"),
    ("tdx_runtime_class", "the runtime class that starts a pod in a TDX guest"),
    ("node_selector, tolerations", "where replicas may be placed"),
    ("device_paths", "the devices, where there is no device plugin (Compose, systemd)"),
    ("ports", "to open in the cloud's firewall"),
    ("facts, regions, steps, notes, verified", "what its page says"),
)


def pages() -> dict[str, str]:
    """Return every page by its file name."""
    profiles = [clouds.profile(name) for name in clouds.names()]
    return {"README.md": index(profiles), **{f"{each.name}.md": page(each) for each in profiles}}


def index(profiles: list[Profile]) -> str:
    """Return the list of clouds, and what a profile may hold."""
    rows = "".join(map(row, profiles))
    keys = "".join(f"| {words} | {about} |\n" for words, about in KEYS)
    return f"""{MARK}
# Clouds

What differs between clouds is data. `cloud = "NAME"` in the `[deploy]` table chooses a profile:

| cloud | | machine | collateral |
|---|---|---|---|
{rows}
A profile of your own goes into the workspace, `clouds/NAME.toml`; one with the name of a profile below goes before
it. It carries no trust: a wrong address or device can only keep replicas from proving themselves. Unknown words are
refused.

| word | |
|---|---|
{keys}"""


def row(each: Profile) -> str:
    """Return one cloud's line of the list."""
    machine = ", ".join(each.instance_types[:1]) or "any with SGX or TDX"
    return f"| [{each.name}]({each.name}.md) | {each.title} | {machine} | {code(each.collateral)} |\n"


def page(each: Profile) -> str:
    """Return one cloud's guide."""
    facts = "".join(f"| {name} | {value} |\n" for name, value in each.facts.items())
    regions = "".join(f"| {name} | {code(source)} |\n" for name, source in each.regions.items())
    notes = "".join(f"- {note}\n" for note in each.notes)
    ports = ", ".join(str(port) for port in each.ports)
    parts = [
        f"{MARK}\n# {each.title}\n\n{each.verified}\n",
        f"## The machine\n\n| | |\n|---|---|\n{facts}" if facts else "",
        "## First\n\n" + "".join(f"{number}. {step}\n" for number, step in enumerate(each.steps, 1)),
        f"{len(each.steps) + 1}. Open the ports {ports} where replicas, broker and clients are apart.\n",
        settings(each),
        f"## Regions\n\n| region | source of collateral |\n|---|---|\n{regions}" if regions else "",
        f"## Worth knowing\n\n{notes}" if notes else "",
    ]
    text = "\n".join(part for part in parts if part)
    return text.replace("\n\n" + f"{len(each.steps) + 1}. Open", "\n" + f"{len(each.steps) + 1}. Open")


def settings(each: Profile) -> str:
    """Return the commands that make a deployment for a cloud."""
    collateral = f'\n[collateral]\nsources = ["{each.collateral}"]\n' if each.collateral else ""
    service = (
        f"The broker may ask {each.attestation_provider} for its opinion as well: [tokens](../tokens.md).\n"
        if each.attestation_provider
        else ""
    )
    return f"""## Render a deployment

```sh
strongroom init
cat >> strongroom-workspace/strongroom.toml <<END

[deploy]
cloud = "{each.name}"
tee = "sgx"
broker = "broker.example.com:4433"

[[deploy.model]]
name = "resnet50"
{collateral}END
strongroom deploy render --out cluster
```

Then [build and sign the images](../images.md) and [apply it](../deploying.md).
{service}"""


def code(text: str | None) -> str:
    """Return a word as code, or nothing."""
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")} if FOLDER.is_dir() else {}
    if "--check" in sys.argv[1:]:
        sys.exit(0 if there == wanted else "docs/clouds is stale: run make docs")
    FOLDER.mkdir(exist_ok=True)
    for name in there.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
