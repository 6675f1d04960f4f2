"use strict";
// Every table can be sorted by a click on a heading and filtered by words. Lines move within
// their section only, so that accuracies of different models are never ranked against each other.
(() => {
  const plain = (cell) => {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll("sup").forEach((mark) => mark.remove());
    return copy.textContent.trim();
  };
  // The first number of a field: "93.34 ± 1.43" is 93.34; a dash is none.
  const number = (words) => {
    const found = words.replace(/,/g, "").replace(/−/g, "-").match(/^[^0-9-]*(-?\d+(\.\d+)?(e-?\d+)?)/i);
    return found ? Number(found[1]) : NaN;
  };
  const compare = (numeric) => (a, b) => {
    if (!numeric) return a.localeCompare(b, "en", { numeric: true });
    const [x, y] = [number(a), number(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return x - y;
  };
  const sort = (table, column, order) => {
    const numeric = table.tHead.rows[0].cells[column].classList.contains("number");
    const by = compare(numeric);
    for (const body of table.tBodies) {
      const lines = [...body.rows].filter((row) => !row.classList.contains("band"));
      const keyed = lines.map((row, i) => ({ row, at: Number(row.dataset.at ?? i), key: plain(row.cells[column]) }));
      keyed.forEach((line) => { line.row.dataset.at = line.at; });
      keyed.sort((a, b) => {
        if (order === "none") return a.at - b.at;
        // Missing values stay below whichever way the others run.
        const none = numeric ? Number.isNaN(number(a.key)) - Number.isNaN(number(b.key)) : 0;
        const sign = order === "descending" ? -1 : 1;
        return none || sign * by(a.key, b.key) || a.at - b.at;
      });
      keyed.forEach((line) => body.append(line.row));
    }
    table.classList.toggle("sorted", order !== "none");
    [...table.tHead.rows[0].cells].forEach((head, i) =>
      head.setAttribute("aria-sort", i === column ? order : "none"));
  };
  const filter = (table, words, count) => {
    const wanted = words.toLowerCase().split(/\s+/).filter((word) => word);
    let shown = 0;
    let all = 0;
    for (const body of table.tBodies) {
      const band = body.querySelector(".band");
      const heading = band ? band.textContent : "";
      let any = false;
      for (const row of body.rows) {
        if (row === band) continue;
        const line = `${heading} ${row.textContent}`.toLowerCase();
        row.hidden = !wanted.every((word) => line.includes(word));
        any = any || !row.hidden;
        all += 1;
        shown += row.hidden ? 0 : 1;
      }
      if (band) band.hidden = !any;
    }
    count.textContent = wanted.length ? `${shown} of ${all} lines` : `${all} lines`;
  };
  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
  document.querySelectorAll(".scroll > table").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, column, NEXT[head.getAttribute("aria-sort")]));
    });
    if (table.querySelectorAll("tbody tr:not(.band)").length < 6) return;
    const bar = document.createElement("div");
    bar.className = "filter";
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "filter lines: method, widths, model";
    input.setAttribute("aria-label", "Filter the lines of the table below by words");
    const count = document.createElement("output");
    bar.append(input, count);
    table.closest(".scroll").before(bar);
    input.addEventListener("input", () => filter(table, input.value, count));
    filter(table, "", count);
  });
})();
