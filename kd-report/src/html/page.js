"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  // The points of a line in the units of its drawing: "M1 2L3 4".
  const pointsOf = (line) =>
    line.getAttribute("d").slice(1).split("L").map((pair) => pair.split(" ").map(Number));

  // A plot of lines: the value at the pointer, or at the place that the arrow keys have reached.
  const chart = (figure) => {
    const table = figure.querySelector("table.values");
    const plot = figure.querySelector(".plot");
    if (!table || !plot) return;
    const svg = plot.querySelector("svg");
    const lines = [...svg.querySelectorAll("[data-line]")].map(pointsOf);
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const used = lines.map(() => 0);
    // Each row of the table with the points that its values are drawn at.
    const places = [...table.tBodies[0].rows].map((row) => {
      const cells = [...row.cells].map((cell) => cell.textContent);
      const points = lines.map((line, which) => {
        const text = cells[which + 1];
        if (!text) return null;
        const point = line[used[which]];
        used[which] += text.split("; ").length;
        return point;
      });
      const known = points.find((point) => point);
      return { cells, points, x: known ? known[0] : NaN };
    });
    if (!places.length) return;
    const hidden = new Set();
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-live", "polite");
    plot.append(tip);
    const marks = document.createElementNS(SVG, "g");
    svg.append(marks);
    let at = -1;
    const hide = () => { tip.hidden = true; marks.replaceChildren(); };
    const show = (index) => {
      at = Math.max(0, Math.min(places.length - 1, index));
      const place = places[at];
      const box = svg.viewBox.baseVal;
      const rule = document.createElementNS(SVG, "line");
      rule.setAttribute("class", "rule");
      for (const [name, value] of [["x1", place.x], ["x2", place.x], ["y1", 6], ["y2", box.height - 44]]) {
        rule.setAttribute(name, value);
      }
      const dots = [];
      const text = [`${names[0]} ${place.cells[0]}`];
      place.points.forEach((point, which) => {
        if (!point || hidden.has(which)) return;
        const dot = document.createElementNS(SVG, "circle");
        dot.setAttribute("class", `s${which % 7}`);
        dot.setAttribute("cx", point[0]);
        dot.setAttribute("cy", point[1]);
        dot.setAttribute("r", 4);
        dots.push(dot);
        text.push(`${names[which + 1]}: ${place.cells[which + 1]}`);
      });
      marks.replaceChildren(rule, ...dots);
      tip.textContent = text.join("\n");
      tip.hidden = false;
      const share = place.x / box.width;
      tip.style.left = share < 0.5 ? `${100 * share + 2}%` : "auto";
      tip.style.right = share < 0.5 ? "auto" : `${100 * (1 - share) + 2}%`;
    };
    plot.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      let best = 0;
      places.forEach((place, index) => {
        if (Math.abs(place.x - x) < Math.abs(places[best].x - x)) best = index;
      });
      show(best);
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const last = places.length - 1;
      const steps = { ArrowLeft: at < 0 ? last : at - 1, ArrowRight: at + 1, Home: 0, End: last };
      if (event.key === "Escape") hide();
      if (!(event.key in steps)) return;
      event.preventDefault();
      show(steps[event.key]);
    });
    figure.querySelectorAll(".legend button").forEach((button, which) => {
      button.addEventListener("click", () => {
        const shown = hidden.has(which);
        if (shown) hidden.delete(which); else hidden.add(which);
        button.setAttribute("aria-pressed", String(shown));
        for (const part of svg.querySelectorAll(`[data-series="${which}"]`)) part.classList.toggle("off", !shown);
        hide();
      });
    });
  };

  // A confusion matrix: what the cell under the pointer is, or the one that the arrow keys have reached.
  const matrix = (figure) => {
    const frame = figure.querySelector(".cells");
    const readout = figure.querySelector(".readout");
    const table = frame.querySelector("table");
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const whole = readout.textContent;
    let at = null;
    const show = (cell) => {
      if (at) at.classList.remove("at");
      at = cell;
      at.classList.add("at");
      const row = cell.parentElement;
      const count = Number(cell.textContent || 0);
      const total = Number(row.dataset.total);
      const share = total ? ` (${((100 * count) / total).toFixed(2)} %)` : "";
      readout.textContent =
        `${row.cells[0].textContent} taken for ${heads[cell.cellIndex]}: ${count} of ${total}${share}`;
    };
    const hide = () => {
      if (at) at.classList.remove("at");
      at = null;
      readout.textContent = whole;
    };
    body.addEventListener("pointerover", (event) => {
      const cell = event.target.closest("td");
      if (cell) show(cell);
    });
    body.addEventListener("pointerleave", hide);
    frame.addEventListener("blur", hide);
    frame.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
      if (event.key === "Escape") hide();
      if (!(event.key in steps)) return;
      event.preventDefault();
      const [down, right] = steps[event.key];
      const row = at ? at.parentElement.sectionRowIndex + down : 0;
      const column = at ? at.cellIndex + right : 1;
      const cell = body.rows[row]?.cells[column];
      if (cell && cell.tagName === "TD") {
        show(cell);
        cell.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
    });
  };

  const begin = () => {
    document.querySelectorAll("figure.chart").forEach(chart);
    document.querySelectorAll("figure.matrix").forEach(matrix);
  };
  document.addEventListener("kd-new-part", begin);
  begin();
})();
