"""Draw docs/console-*.png: the console of a demo broker in headless Chromium. Owners and addresses are made up;
quotes, verdicts, decisions, leases and ledger are real, made by the service itself (tools/console_scene.py)."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent))

from playwright.sync_api import Page, ViewportSize, sync_playwright

import console_scene

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
WIDE: Final = ViewportSize(width=1280, height=860)
NARROW: Final = ViewportSize(width=390, height=844)
ARGUMENTS: Final = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
    "--force-color-profile=srgb",
]  # fmt: skip
SHOWN: Final[tuple[tuple[str, str, Literal["light", "dark"], ViewportSize], ...]] = (
    ("overview", "", "light", WIDE), ("overview-dark", "", "dark", WIDE), ("replicas", "replicas", "light", WIDE),
    ("decisions", "decisions", "light", WIDE), ("denial", "denial", "light", WIDE), ("models", "models", "light", WIDE),
    ("leases", "leases", "light", WIDE), ("policy", "policy", "light", WIDE), ("ledger", "ledger", "light", WIDE),
    ("collateral", "collateral", "light", WIDE), ("people", "people", "light", WIDE),
    ("narrow", "", "light", NARROW), ("login", "login", "light", WIDE),
)  # fmt: skip


IN_DOCS: Final = ["overview", "overview-dark", "decisions", "denial", "leases", "policy", "ledger", "narrow"]


def main() -> int:
    """Draw what the docs show; or all, or what is named, into the folder that the first argument is."""
    folder, named = (Path(sys.argv[1]), sys.argv[2:]) if len(sys.argv) > 1 else (DOCS, IN_DOCS)
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        sys.stderr.write("there is no Chromium: apt-get install chromium\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="strongroom-") as place:
        scene = console_scene.a_day(Path(place) / "workspace")
        with scene.served() as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
            cookies = log_in(browser, scene, url)
            for name, page_name, scheme, size in SHOWN:
                if named and name not in named:
                    continue
                context = browser.new_context(
                    ignore_https_errors=True, color_scheme=scheme, viewport=size,
                    storage_state=None if page_name == "login" else cookies,
                )  # fmt: skip
                page = context.new_page()
                draw(page, url, page_name)
                page.screenshot(
                    path=folder / f"console-{name}.png", full_page=name not in {"narrow", "login", "decisions"}
                )
                context.close()
            browser.close()
        scene.close()
    return 0


def log_in(browser: Any, scene: Any, url: str) -> Any:
    """Return the cookies of a person who logged in."""
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(f"{url}/login#{scene.login_code()}")
    page.click("button.primary")
    page.wait_for_selector("main[data-live]")
    cookies = context.storage_state()
    context.close()
    return cookies


def draw(page: Page, url: str, name: str) -> None:
    """Bring one page before the camera."""
    if name == "login":
        page.goto(f"{url}/login")
        return
    page.goto(f"{url}/")
    if name == "denial":
        page.goto(f"{url}/decisions?outcome=denied&code=POLICY_TCB_STATUS")
        with page.expect_navigation():
            page.click("td.why a")
    elif name:
        page.goto(f"{url}/{name}")
    if name == "ledger":
        page.click("#verify")
        page.wait_for_selector(".check.good")
    if page.locator("main[data-live]").count():
        page.locator("[data-live-state]").wait_for(state="visible")


if __name__ == "__main__":
    raise SystemExit(main())
