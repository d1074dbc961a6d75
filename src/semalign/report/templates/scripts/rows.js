// The browser of rows: choose task, models and kind of change, search, and read both answers with their differing words.
const home = document.getElementById("row-browser");
const data = home && JSON.parse(document.getElementById("rows-data").textContent);
if (data) {
  const list = home.querySelector("ul"), shown = home.querySelector("article");
  const count = home.querySelector("output");
  const { task, from, to, show, search } = home.querySelector("fieldset").elements;
  const rows = data.tasks.flatMap((each, place) => each.rows.map((row) => ({ ...row, place, task: each.name })));
  const make = (tag, text, name) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (name) made.className = name;
    return made;
  };
  const outcome = (row, model) => row.answers[model]?.[1] ?? null;
  const move = (row) => {
    const [a, b] = [outcome(row, from.value), outcome(row, to.value)];
    if (a === null || b === null) return "";
    return b - a > data.apart ? "gained" : a - b > data.apart ? "lost" : "";
  };
  const differ = (row) => (row.answers[from.value]?.[0] ?? "") !== (row.answers[to.value]?.[0] ?? "");
  const wanted = {
    changed: (row) => move(row) !== "", gained: (row) => move(row) === "gained", lost: (row) => move(row) === "lost",
    texts: differ, all: () => true,
  };
  const holds = (row, words) =>
    [row.id, row.prompt, row.gold, ...row.answers.map((answer) => answer?.[0])].join("\n").toLowerCase().includes(words);

  const mark = (value, text) => value === null ? "not measured" : text == null ? `probability a byte ${value.toFixed(3)}`
    : value === 1 ? "✓ right" : value === 0 ? "✗ wrong" : `outcome ${value.toFixed(3)}`;
  const answer = (row, model, title, runs, other) => {
    const part = make("section", "", "answer");
    const head = make("h4", `${title}: ${data.models[model]} `);
    head.append(make("span", mark(outcome(row, model), row.answers[model]?.[0]), "outcome"));
    const text = make("pre", "");
    if (row.answers[model]?.[0] == null) text.append(make("i", "no answer was generated"));
    else for (const [kind, words] of runs) if (kind !== other) text.append(kind === "same" ? words : make(kind, words));
    part.append(head, text);
    return part;
  };
  const read = (row) => {
    shown.replaceChildren();
    if (!row) return;
    const head = make("h3", `${row.task} · ${row.id} `);
    if (move(row)) head.append(make("span", move(row), `tag ${move(row)}`));
    const runs = wordDiff(row.answers[from.value]?.[0] ?? "", row.answers[to.value]?.[0] ?? "");
    const pair = make("div", "", "pair");
    pair.append(answer(row, from.value, "Before", runs, "ins"), answer(row, to.value, "After", runs, "del"));
    const gold = make("section", "", "answer");
    gold.append(make("h4", "Gold answer"), make("pre", row.gold ?? "–"));
    shown.append(head, make("h4", "Prompt"), make("pre", row.prompt), pair, gold);
  };

  let listed = [], chosen = 0;
  const choose = (place) => {
    chosen = Math.max(0, Math.min(place, listed.length - 1));
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", i === chosen));
    const item = list.children[chosen];
    if (item) {
      list.setAttribute("aria-activedescendant", item.id);
      const end = item.offsetTop + item.offsetHeight - list.clientHeight; // scrolls the list, never the page
      list.scrollTop = Math.min(Math.max(list.scrollTop, end), item.offsetTop);
    } else list.removeAttribute("aria-activedescendant");
    read(listed[chosen]);
  };
  const fill = () => {
    const words = search.value.trim().toLowerCase();
    listed = rows.filter((row) =>
      (task.value === "" || row.place === +task.value) && wanted[show.value](row) && (!words || holds(row, words)));
    list.replaceChildren(...listed.map((row, i) => {
      const item = make("li", "");
      item.id = `row-${i}`;
      item.setAttribute("role", "option");
      item.append(make("span", move(row) === "gained" ? "+" : move(row) === "lost" ? "−" : "·", `sign ${move(row)}`), ` ${row.id}`);
      if (move(row)) item.append(make("span", ` ${move(row)}`, "unseen"));
      item.addEventListener("click", () => choose(i));
      return item;
    }));
    count.textContent = `${listed.length} of ${rows.length} rows listed.`;
    choose(0);
    list.scrollTop = 0;
  };

  const options = (select, names, all) => {
    if (all) select.append(new Option(all, ""));
    names.forEach((name, i) => select.append(new Option(name, i)));
  };
  options(task, data.tasks.map((each) => each.name), "all tasks");
  for (const select of [from, to]) options(select, data.models);
  from.value = data.from;
  to.value = data.to;
  for (const select of [task, from, to, show]) select.addEventListener("change", fill);
  search.addEventListener("input", fill);
  const steps = { ArrowDown: () => chosen + 1, ArrowUp: () => chosen - 1, PageDown: () => chosen + 10, PageUp: () => chosen - 10,
    Home: () => 0, End: () => listed.length - 1 };
  list.addEventListener("keydown", (event) => {
    if (!steps[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    choose(steps[event.key]());
  });
  home.hidden = false;
  fill();
}
