// Long tables have a field that leaves only the rows which hold its words.
const LONG = 12;
for (const table of document.querySelectorAll(".table table")) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < LONG) continue;
  const label = document.createElement("label"), field = document.createElement("input"), count = document.createElement("output");
  label.className = "rows-filter";
  field.type = "search";
  field.setAttribute("aria-label", `Filter the rows of: ${table.caption.firstChild.textContent.trim()}`);
  field.addEventListener("input", () => {
    const words = field.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(words);
    count.textContent = words ? ` ${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  });
  label.append("Filter rows", field, count);
  table.closest(".table").before(label);
}
