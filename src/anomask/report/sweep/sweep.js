"use strict";
const at = id => document.getElementById(id);
const {groups, jobs, axes, score, mode, best, constant} = JSON.parse(at("data").textContent);
const columns = groups.flatMap(group => group.columns.map((column, index) => ({...column, ...group, label: column.label,
  title: column.title, edge: index === 0})));
const SVG = "http://www.w3.org/2000/svg", HEIGHT = 340, SPOKEN = 8;  // settings named of a marked job
const goodness = row => mode === "max" ? score.at[row] : 1 - score.at[row];
// What the plots show, the best job first: finished ones whose score and settings are known.
const drawn = jobs.map((_, row) => row).filter(row => score && axes.every(axis => axis.at[row] !== null)
  && score.at[row] !== null).sort((a, b) => goodness(b) - goodness(a));
const plots = [{box: at("lines"), draw: drawLines}, {box: at("dots"), draw: drawDots}];
const rows = jobs.map(tableRow), heads = [], names = rows.map(row => row.querySelector("button"));
let marked = null, pinned = null, stop = drawn[0], sorted = {};

function html(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  element.append(...children);
  return element;
}

const short = (text, most) => text.length > most ? text.slice(0, Math.max(1, most - 1)) + "…" : text;

function label(text, full, attributes) {
  return svg("text", attributes, text, ...(full ? [svg("title", {}, full)] : []));
}

// Marking: one job at a time, in both plots and in the table.

function describe(row) {
  const place = drawn.indexOf(row), told = columns.map((column, index) => [column, jobs[row].cells[index][0]]);
  const of = kind => told.filter(([column]) => column.kind === kind).map(([column, text]) => `${column.label} ${text}`);
  const settings = of("setting");
  return [place < 0 ? jobs[row].name : `${place + 1} of ${drawn.length}: ${jobs[row].name}`, jobs[row].cells[0][0],
    ...of("score"), ...settings.slice(0, SPOKEN), ...(settings.length > SPOKEN ? ["…"] : [])].join(", ");
}

function mark(row) {
  marked = row;
  rows.forEach((element, index) => element.classList.toggle("on", index === row));
  for (const plot of plots) {
    const part = plot.parts?.get(row);
    plot.canvas?.classList.toggle("marked", part !== undefined);
    plot.over?.replaceChildren(...(part ? [part.querySelector(".seen").cloneNode()] : []));
  }
  at("status").textContent = row === null ? "" : describe(row);
}

function pin(row) {
  pinned = pinned === row ? null : row;
  plots.forEach(plot => plot.parts?.forEach((part, index) => part.setAttribute("aria-pressed", index === pinned)));
  names.forEach((button, index) => button.ariaPressed = String(index === pinned));
  mark(pinned);
}

function watch(element, row) {
  element.addEventListener("mouseenter", () => mark(row));
  element.addEventListener("mouseleave", () => mark(pinned));
  element.addEventListener("focusin", () => mark(row));
  element.addEventListener("focusout", () => mark(pinned));
}

// Plots: each is one stop of the Tab key, and arrow keys step in it.

function part(plot, row, ...shapes) {
  const element = svg("g", {class: "job", role: "button", "aria-label": describe(row), "aria-pressed": row === pinned,
    tabindex: row === stop ? 0 : -1}, ...shapes);
  element.style.setProperty("--level", `${100 * goodness(row)}%`);
  element.onclick = () => { pin(row); rows[row].scrollIntoView({block: "nearest"}); };
  watch(element, row);
  plot.parts.set(row, element);
  return element;
}

function step(plot, event) {
  const place = drawn.indexOf(stop), last = drawn.length - 1;
  const to = {ArrowDown: place + 1, ArrowRight: place + 1, ArrowUp: place - 1, ArrowLeft: place - 1, Home: 0, End: last};
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in to) {
    stop = drawn[Math.min(Math.max(to[event.key], 0), last)];
    plots.forEach(({parts}) => parts.forEach((element, row) => element.setAttribute("tabindex", row === stop ? 0 : -1)));
    plot.parts.get(stop).focus();
  } else if (event.key === "Enter" || event.key === " ") pin(stop);
  else return;
  event.preventDefault();
}

function canvas(plot, width, name) {
  plot.parts = new Map();
  plot.over = svg("g", {class: "over", "aria-hidden": "true"});
  plot.canvas = svg("svg", {width, height: HEIGHT, role: "group", "aria-label": name});
  plot.canvas.addEventListener("keydown", event => step(plot, event));
  plot.box.replaceChildren(plot.canvas);
}

function upright(axis, x, top, bottom, side) {
  const y = value => bottom - value * (bottom - top), anchor = side < 0 ? "end" : "start";
  return svg("g", {"aria-hidden": "true"}, svg("line", {class: "axis", x1: x, x2: x, y1: top, y2: bottom}),
    ...axis.ticks.map(([value, text]) => label(short(text, 14), text, {x: x + 6 * side, y: y(value) + 4,
      "text-anchor": anchor})));
}

function heading(axis, x, y) {  // a dotted name takes a line for each of its parts, the last one nearest to the axis
  const parts = axis.label.split(/(?<=[./])/).flatMap(text => text.length > 15 ? text.split(/(?<=_)/) : [text]);
  const names = parts.map(text => [short(text, 16), "name"]).slice(-3);
  const lines = [...names, ...(axis === score ? [[axis.title, ""]] : axis.kind === "log" ? [["(log)", ""]] : [])];
  return lines.map(([text, kind], line) => label(text, axis.title, {class: kind, x, y: y - 14 * (lines.length - 1 - line),
    "text-anchor": "middle", "aria-hidden": "true"}));
}

function drawLines(plot) {
  const all = [...axes, score], room = axis => 16 + 7 * Math.max(...axis.ticks.map(([, text]) => Math.min(text.length, 14)));
  const width = Math.max(plot.box.clientWidth, 105 * all.length), left = Math.max(60, room(all[0]));
  const right = Math.max(60, room(score)), top = 70, bottom = HEIGHT - 12;
  const x = index => left + index * (width - left - right) / (all.length - 1);
  canvas(plot, width, "Lines of the jobs, the best one first");
  for (const row of [...drawn].reverse()) {  // the best line is drawn last and lies on top
    const d = "M" + all.map((axis, index) => `${x(index)} ${bottom - axis.at[row] * (bottom - top)}`).join("L");
    plot.canvas.append(part(plot, row, svg("path", {class: "reach", d}), svg("path", {class: "seen", d})));
  }
  plot.canvas.append(plot.over, ...all.flatMap((axis, index) => [
    upright(axis, x(index), top, bottom, axis === score ? 1 : -1), ...heading(axis, x(index), top - 12)]));
}

function drawDots(plot) {
  const axis = axes[at("setting").value], width = Math.max(plot.box.clientWidth, 260);
  const left = 70, right = width - 16, top = 30, bottom = HEIGHT - 40;
  const x = value => left + 20 + value * (right - left - 40), y = value => bottom - value * (bottom - top);
  const fits = Math.max(3, Math.floor((right - left) / axis.ticks.length / 7));
  let taken = 0;  // up to where a tick is written, about 7 px a letter
  const ticks = axis.ticks.map(([value, text]) => ({at: x(value), said: short(text, fits), text})).filter(tick => {
    const half = 3.5 * tick.said.length, free = tick.at - half >= taken;
    taken = free ? tick.at + half + 4 : taken;
    return free;
  });
  canvas(plot, width, `Jobs by ${axis.label} and ${score.label}, the best one first`);
  plot.canvas.append(upright(score, left, top, bottom, -1),
    label(`${score.label} (${score.title})`, "", {class: "name", x: 4, y: 14}),
    svg("line", {class: "axis", x1: left, x2: right, y1: bottom, y2: bottom}),
    ...ticks.map(tick => label(tick.said, tick.text, {x: tick.at, y: bottom + 16, "text-anchor": "middle"})),
    label(axis.label + (axis.kind === "log" ? " (log)" : ""), axis.title, {class: "name", x: right, y: bottom + 34,
      "text-anchor": "end"}));
  for (const row of [...drawn].reverse()) {
    const place = {cx: x(axis.at[row]), cy: y(score.at[row])};
    plot.canvas.append(part(plot, row, svg("circle", {class: "reach", r: 11, ...place}),
      svg("circle", {class: "seen", r: 5, ...place})));
  }
  plot.canvas.append(plot.over);
}

function draw() {
  plots.forEach(plot => plot.draw(plot));
  mark(marked);
}

// The table.

function tableRow(job, row) {
  const name = html("button", {type: "button", textContent: job.name, ariaPressed: "false", onclick: () => pin(row)});
  const notes = job.notes.map(note => html("span", {className: "fault", textContent: `⚠ ${note}`}));
  const links = job.links.map(([text, href]) => html("a", {href, textContent: text, ariaLabel: `${text} of ${job.name}`}));
  const cells = columns.map(({kind, edge}, index) => html("td", {className: `${kind} ${edge ? "first" : ""}`,
    textContent: job.cells[index][0] + (kind === "score" && row === best ? " ★ best" : "")}));
  const element = html("tr", {}, html("th", {scope: "row"}, name, html("div", {className: "links"}, ...links), ...notes),
    ...cells);
  watch(element, row);
  return element;
}

function head(text, title, index, className = "") {
  const button = html("button", {type: "button", textContent: text, title, onclick: () => sort(index)});
  heads.push(html("th", {scope: "col", className}, button));
  return heads.at(-1);
}

function sort(index, quietly = false) {
  const high = index >= 0 && columns[index].kind === "score" && mode === "max";  // the best job comes first
  const down = sorted.index === index ? !sorted.down : high;
  const key = row => index < 0 ? jobs[row].name : jobs[row].cells[index][1], sign = down ? -1 : 1;
  const order = jobs.map((_, row) => row).sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return (x === null) - (y === null);  // what is not known comes last either way
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
    return sign * (typeof x === "number" ? x - y : x.localeCompare(y, "en", {numeric: true}));
  });
  sorted = {index, down};
  const direction = down ? "descending" : "ascending";
  heads.forEach((element, place) => element.ariaSort = place - 1 === index ? direction : null);
  at("table").tBodies[0].append(...order.map(row => rows[row]));
  if (!quietly) at("status").textContent = `Sorted by ${index < 0 ? "job" : columns[index].label}, ${direction}: `
    + `${jobs[order[0]].name} is first.`;
}

at("table").append(
  html("thead", {}, html("tr", {}, ...groups.map((group, index) => html("th", {scope: "colgroup",
    colSpan: group.columns.length + (index === 0), className: `group ${group.kind} ${index ? "first" : ""}`,
    textContent: group.label}))),
  html("tr", {}, head("job", "its link in the sweep's folder", -1), ...columns.map(({label, title, kind, edge}, index) =>
    head(label, title, index, `${kind} ${edge && index ? "first" : ""}`)))),
  html("tbody", {}, ...rows));
const first = columns.findIndex(column => column.kind === "score");
sort(first, true);
at("same").querySelector("summary").textContent = `${constant.length} settings are the same in all jobs`;
at("same").querySelector("dl").append(...constant.flatMap(([name, text]) => [html("dt", {textContent: name}),
  html("dd", {textContent: text})]));
document.addEventListener("keydown", event => { if (event.key === "Escape" && pinned !== null) pin(pinned); });
if (drawn.length && axes.length) {
  at("setting").append(...axes.map((axis, value) => html("option", {value, textContent: axis.label, title: axis.title})));
  at("setting").value = Math.max(0, axes.findIndex(axis => axis.name !== "seed"));  // seeds repeat a job
  at("setting").onchange = draw;
  let width = 0;
  new ResizeObserver(() => { if (width !== (width = at("plots").clientWidth)) draw(); }).observe(at("plots"));
  draw();
} else {
  [at("plots"), at("scale")].forEach(element => element.hidden = true);
  at("none").hidden = false;
}
