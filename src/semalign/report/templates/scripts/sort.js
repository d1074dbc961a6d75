// Tables sort by a click on a column's head, or by Enter or Space on it: once, the other way round, as written.
for (const table of document.querySelectorAll(".table table")) {
  const body = table.tBodies[0], written = [...body.rows];
  const moving = written.filter((row) => !row.classList.contains("role-total"));
  if (moving.length < 3) continue;
  const heads = [...table.tHead.rows[0].cells];
  const missing = (cell) => ["", "–"].includes(cell.textContent.trim());
  const word = (cell) => cell.firstChild?.textContent.trim() ?? "";

  const compare = (place) => {
    const cells = moving.map((row) => row.cells[place]).filter((cell) => !missing(cell));
    const numbers = cells.every((cell) => cell.dataset.value !== undefined);
    const between = numbers
      ? (a, b) => a.dataset.value - b.dataset.value
      : (a, b) => word(a).localeCompare(word(b), undefined, { numeric: true });
    return { numbers, between };
  };
  const show = (place, direction) => {
    heads.forEach((head, i) => {
      if (i === place && direction) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    const { between } = compare(place);
    const side = (row) => row.cells[place];
    const sorted = [...moving].sort((a, b) =>
      missing(side(a)) - missing(side(b)) || direction * between(side(a), side(b)) || written.indexOf(a) - written.indexOf(b));
    const rest = written.filter((row) => !moving.includes(row));
    body.append(...(direction ? [...sorted, ...rest] : written));
  };

  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    if (!button.textContent.trim()) button.setAttribute("aria-label", "row names");
    head.append(button);
    button.addEventListener("click", () => {
      const first = compare(place).numbers ? -1 : 1;
      const now = { ascending: 1, descending: -1 }[head.getAttribute("aria-sort")];
      show(place, now === undefined ? first : now === first ? -first : 0);
    });
  });
  const hint = document.createElement("span");
  hint.className = "unseen";
  hint.textContent = " (column heads are buttons that sort)";
  table.caption?.append(hint);
}
