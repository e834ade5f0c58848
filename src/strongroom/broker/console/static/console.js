// What the console does beyond its pages: it keeps them current, and takes a login code out of the address.
// Every page is whole without it. Nothing is loaded but this console's own pages.
"use strict";

(() => {
  document.documentElement.classList.add("js");

  // The code after the "#" was never sent to anybody; it leaves the address and the history before anything else.
  const field = document.getElementById("code");
  if (field && location.hash.length > 1) {
    field.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
    document.querySelector("button.primary").focus();
  }

  const ahead = Number(document.body.dataset.now) - Date.now(); // the broker's clock against this one, in ms
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const relative = (at) => {
    const away = at - (Date.now() + ahead);
    const seconds = Math.floor(Math.abs(away) / 1000);
    if (seconds < 1) return "just now";
    const [size, unit] = units.find(([size]) => seconds >= size);
    const number = Math.floor(seconds / size);
    const length = `${number} ${unit}${number === 1 ? "" : "s"}`;
    return away < 0 ? `${length} ago` : `in ${length}`;
  };
  const tick = () => {
    for (const each of document.querySelectorAll("time[datetime]:not([data-exact])")) {
      const text = relative(Date.parse(each.dateTime));
      if (each.dateTime && each.textContent !== text) each.textContent = text;
    }
  };

  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const state = document.querySelector("[data-live-state]");
  const EVERY_MS = 1500, WHOLE_EVERY_MS = 15000, LONGEST_MS = 30000;
  let mark = main.dataset.mark, failures = 0, timer = 0, fetchedAt = Date.now(), busy = false;

  const say = (text, kind) => {
    state.hidden = false;
    if (state.textContent !== text) state.textContent = text;
    state.className = `live ${kind}`;
  };

  const inUse = (part) =>
    part.querySelector("details.act[open]") !== null || (document.activeElement && part.contains(document.activeElement)
      && document.activeElement.matches("input, select, textarea"));

  const swap = (page) => {
    for (const old of main.querySelectorAll("[data-part]")) {
      const fresh = page.querySelector(`[data-part="${old.dataset.part}"]`);
      if (!fresh || inUse(old) || old.outerHTML === fresh.outerHTML) continue;
      const known = new Set([...old.querySelectorAll("tr[id]")].map((row) => row.id));
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const open = [...old.querySelectorAll("details")].map((each) => each.open);
      const scrolled = [...old.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
      const added = document.importNode(fresh, true);
      [...added.querySelectorAll("details")].forEach((each, index) => { each.open = open[index] || each.open; });
      for (const row of added.querySelectorAll("tr[id]")) if (known.size && !known.has(row.id)) row.classList.add("new");
      old.replaceWith(added);
      [...added.querySelectorAll(".scroll")].forEach((each, index) => { each.scrollLeft = scrolled[index] || 0; });
      if (focused) {
        const key = focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href")
          ? `a[href="${CSS.escape(focused.getAttribute("href"))}"]` : "";
        const again = key && added.querySelector(key);
        if (again) again.focus({ preventScroll: true });
      }
    }
  };

  const leave = () => location.assign(location.href); // logged out meanwhile: the broker says where to go
  const look = async () => {
    const answer = await fetch(`${main.dataset.live}?for=${encodeURIComponent(mark)}`, { cache: "no-store", redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) return leave();
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const pulse = await answer.json();
    if (pulse.mark !== mark || Date.now() - fetchedAt > WHOLE_EVERY_MS) {
      const page = await fetch(location.href, { cache: "no-store", redirect: "manual" });
      if (page.type === "opaqueredirect") return leave();
      if (!page.ok) throw new Error(`status ${page.status}`);
      swap(new DOMParser().parseFromString(await page.text(), "text/html"));
      mark = pulse.mark;
      fetchedAt = Date.now();
    }
    failures = 0;
    say("Live", "");
  };

  const next = (wait) => {
    clearTimeout(timer);
    timer = setTimeout(round, wait);
  };
  const round = async () => {
    if (document.hidden || busy) return;
    busy = true;
    try {
      await look();
    } catch {
      failures += 1;
      say("The broker does not answer; trying again", "away");
    } finally {
      busy = false;
    }
    tick();
    if (!document.hidden) next(Math.min(LONGEST_MS, EVERY_MS * 2 ** Math.min(failures, 5)));
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      say("Paused while hidden", "paused");
    } else {
      next(0);
    }
  });
  tick();
  round();
})();
