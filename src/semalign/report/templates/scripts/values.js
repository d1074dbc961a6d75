// Pictures say their values under the mouse and by keys, hide and show curves, and grow: drag, or + and - and 0.
const SVG = "http://www.w3.org/2000/svg";
for (const figure of document.querySelectorAll("figure")) {
  const source = figure.querySelector("script.readings"), drawing = figure.querySelector(".drawing");
  if (!source) continue;
  const panels = JSON.parse(source.textContent), svg = drawing.querySelector("svg"), whole = svg.getAttribute("viewBox");
  const hidden = new Set();
  const cursor = document.createElementNS(SVG, "g"), frame = document.createElementNS(SVG, "rect");
  cursor.setAttribute("class", "cursor");
  frame.setAttribute("class", "frame-of-zoom");
  svg.append(cursor, frame);
  const words = document.createElement("output");
  words.className = "reading";
  drawing.after(words);

  // Stops: places where there is something to say. All curves of a panel speak together, at the x of one of them.
  const stopsOf = (panel) => {
    const stops = panel.marks.map(([x, y, text]) => ({ panel, x, y, dots: [[x, y]], text }));
    const { x: across = [], y: up = [], values = [], rows, columns, what, paired = [] } = panel.grid ?? {};
    const isPaired = new Set(paired.map(String));
    up.forEach((y, row) => across.forEach((x, column) => {
      const text = `${rows} ${row}, ${columns} ${column}: ${what} ${values[row][column]?.toFixed(3) ?? "not measured"}`;
      stops.push({ panel, x, y, dots: [[x, y]], text: isPaired.has(`${row},${column}`) ? `${text}, paired` : text });
    }));
    const at = new Map();
    for (const curve of panel.curves)
      if (!hidden.has(curve.label))
        for (const [x, y, before, value] of curve.points) {
          if (!at.has(x)) at.set(x, { panel, x, y, dots: [], text: `${panel.x} ${before}`, line: true });
          at.get(x).dots.push([x, y]);
          at.get(x).text += `; ${curve.label} ${value}`;
        }
    return [...stops, ...[...at.values()].sort((a, b) => a.x - b.x)];
  };
  let stops = panels.flatMap(stopsOf), chosen = -1;
  const say = (stop) => {
    cursor.replaceChildren();
    words.textContent = stop ? `${stop.panel.title ? `${stop.panel.title}: ` : ""}${stop.text}` : "";
    if (!stop) return;
    if (stop.line) {
      const [, top, , bottom] = stop.panel.box, line = document.createElementNS(SVG, "line");
      for (const [name, value] of Object.entries({ x1: stop.x, x2: stop.x, y1: top, y2: bottom })) line.setAttribute(name, value);
      cursor.append(line);
    }
    for (const [x, y] of stop.dots) {
      const dot = document.createElementNS(SVG, "circle");
      for (const [name, value] of Object.entries({ cx: x, cy: y, r: 4 })) dot.setAttribute(name, value);
      cursor.append(dot);
    }
  };
  const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const nearest = ({ x, y }) => {
    const inside = ({ box: [left, top, right, bottom] }) => x > left - 8 && x < right + 8 && y > top - 8 && y < bottom + 8;
    let best = -1, least = Infinity;
    stops.forEach((stop, i) => {
      if (!inside(stop.panel)) return;
      const away = Math.hypot(stop.x - x, stop.line ? 0 : stop.y - y);
      if (away < least) [best, least] = [i, away];
    });
    return best;
  };

  const view = () => svg.getAttribute("viewBox").split(" ").map(Number);
  const zoom = (box) => {
    svg.setAttribute("viewBox", box);
    back.hidden = box === whole;
  };
  const grow = (times) => {
    const [, , width, height] = view(), [x0, y0, w, h] = whole.split(" ").map(Number), at = stops[chosen];
    if (width / times >= w) return zoom(whole);
    const [nw, nh] = [width / times, height / times], middle = at ?? { x: x0 + w / 2, y: y0 + h / 2 };
    zoom([Math.min(Math.max(middle.x - nw / 2, x0), x0 + w - nw), Math.min(Math.max(middle.y - nh / 2, y0), y0 + h - nh), nw, nh].join(" "));
  };
  const tools = document.createElement("div"), back = document.createElement("button");
  tools.className = "tools";
  back.type = "button";
  back.hidden = true;
  back.textContent = "Whole picture";
  back.addEventListener("click", () => zoom(whole));

  const labels = [...new Set(panels.flatMap((panel) => panel.curves.map((curve) => curve.label)))];
  for (const label of labels.length > 1 ? labels : []) {
    const curves = panels.flatMap((panel) => panel.curves).filter((curve) => curve.label === label);
    const lines = curves.map((curve) => document.getElementById(curve.id)).filter(Boolean);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.setAttribute("aria-pressed", true);
    button.style.setProperty("--line", lines[0]?.querySelector("path")?.style.stroke ?? "currentColor");
    button.addEventListener("click", () => {
      hidden.has(label) ? hidden.delete(label) : hidden.add(label);
      const isShown = !hidden.has(label);
      button.setAttribute("aria-pressed", isShown);
      for (const line of lines) line.style.visibility = isShown ? "" : "hidden";
      [stops, chosen] = [panels.flatMap(stopsOf), -1];
      say();
    });
    tools.append(button);
  }
  tools.append(back);
  drawing.before(tools);

  drawing.tabIndex = 0;
  drawing.setAttribute("role", "group");
  drawing.setAttribute("aria-label", `Values of this picture: arrow keys move, plus and minus zoom, 0 shows it whole`);
  const beside = (stop, sign) => { // the nearest stop of a heat map's or a list's next row
    const other = stops.map((each, i) => [each, i]).filter(([each]) => each.panel === stop.panel && !each.line && sign * (each.y - stop.y) > 1);
    other.sort(([a], [b]) => Math.abs(a.y - stop.y) - Math.abs(b.y - stop.y) || Math.abs(a.x - stop.x) - Math.abs(b.x - stop.x));
    return other[0]?.[1];
  };
  drawing.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const last = stops.length - 1, now = stops[chosen];
    const moves = { ArrowRight: Math.min(chosen + 1, last), ArrowLeft: Math.max(chosen - 1, 0), Home: 0, End: last,
      ArrowDown: now && !now.line ? beside(now, 1) : undefined, ArrowUp: now && !now.line ? beside(now, -1) : undefined };
    const zooms = { "+": () => grow(1.5), "-": () => grow(1 / 1.5), 0: () => zoom(whole), Escape: () => zoom(whole) };
    if (zooms[event.key]) zooms[event.key]();
    else if (moves[event.key] === undefined) return;
    else say(stops[chosen = moves[event.key]]);
    event.preventDefault();
  });
  words.setAttribute("aria-live", "polite");
  drawing.addEventListener("blur", () => say());

  let start = null;
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) start = place(event);
  });
  svg.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (start) {
      const box = { x: Math.min(start.x, at.x), y: Math.min(start.y, at.y), width: Math.abs(at.x - start.x), height: Math.abs(at.y - start.y) };
      for (const [name, value] of Object.entries(box)) frame.setAttribute(name, value);
    } else say(stops[chosen = nearest(at)]);
  });
  svg.addEventListener("pointerleave", () => say());
  addEventListener("pointerup", () => {
    if (!start) return;
    const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => +frame.getAttribute(name));
    if (width > 15 && height > 15) zoom([x, y, width, height].join(" "));
    for (const name of ["x", "y", "width", "height"]) frame.removeAttribute(name);
    start = null;
  });
}
