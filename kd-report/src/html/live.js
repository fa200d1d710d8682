"use strict";
(() => {
  const state = document.createElement("p");
  state.id = "state";
  state.setAttribute("role", "status");
  state.hidden = true;
  document.body.prepend(state);
  const all = (what) => [...document.querySelectorAll(what)];
  const parts = "details, .plot, .scroll, .legend button, a, pre";

  // What is open, hidden, scrolled or has the focus stays so.
  const replace = (text) => {
    const open = all("details").map((part) => part.open);
    const off = all(".legend button").map((part) => part.getAttribute("aria-pressed") === "false");
    const scrolled = all(".scroll").map((part) => [part.scrollLeft, part.scrollTop]);
    const focus = all(parts).indexOf(document.activeElement);
    const template = document.createElement("template");
    template.innerHTML = text;
    document.querySelector("main").replaceWith(template.content);
    document.dispatchEvent(new Event("kd-new-part"));
    all("details").forEach((part, place) => { part.open = open[place] || false; });
    all(".legend button").forEach((part, place) => { if (off[place]) part.click(); });
    all(".scroll").forEach((part, place) => { [part.scrollLeft, part.scrollTop] = scrolled[place] || [0, 0]; });
    if (focus >= 0) all(parts)[focus]?.focus({ preventScroll: true });
  };

  let resting = 0;
  const ask = async () => {
    // A page that nobody sees asks less often.
    resting = document.hidden ? (resting + 1) % 10 : 0;
    if (!resting) {
      try {
        const since = document.querySelector("main").dataset.revision || "";
        const address = `${location.pathname}?since=${encodeURIComponent(since)}`;
        const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(8000) });
        if (answer.status === 200) replace(await answer.text());
        else if (answer.status !== 204) throw new Error(answer.statusText);
        state.hidden = true;
      } catch {
        state.textContent = "kd watch does not answer; the page goes on when it is started again";
        state.hidden = false;
      }
    }
    setTimeout(ask, 700);
  };
  document.addEventListener("visibilitychange", () => { resting = 9; });
  setTimeout(ask, 700);
})();
