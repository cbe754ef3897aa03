// The charts against the cut: score and, where a task asks for one, language of the answers. Hover, click and arrow
// keys on either choose the cut for the whole page.

const curve = byId("curve");
const tip = byId("tip");
const charts = [{ svg: curve, say: score, values: (it) => [it.mean, it.low, it.high] }];
if (byId("language")) {
  charts.push({ svg: byId("language"), say: percent, values: (it) => [it.language, it.languageLow, it.languageHigh] });
}

const allCuts = [...new Set(data.conditions.flatMap((condition) => condition.cuts))].sort((a, b) => a - b);
const visible = () => data.conditions.map((condition, index) => ({ condition, index })).filter(({ index }) => state.shown.has(index));

function drawPoints(plot) {
  const found = visible().filter(({ condition }) => condition.point);
  found.forEach(({ condition, index }, row) => {
    const [layer, low, high] = condition.point;
    const y = plot.box.bottom + 18 + row * 13;
    const group = shape("g", { style: `color: var(--s${index})`, class: "point" });
    group.append(shape("line", { x1: plot.x(low), x2: plot.x(high), y1: y, y2: y, class: "whisker" }));
    group.append(mark(condition.marker, plot.x(layer), y, 4));
    const place = condition.cuts.indexOf(layer);
    if (place >= 0) {
      group.append(shape("circle", { cx: plot.x(layer), cy: plot.y(condition.mean[place]), r: 9, class: "ring" }));
    }
    plot.svg.append(group);
  });
}

function addCursor(chart) {
  const { box, strips, svg } = chart.plot;
  chart.cursor = shape("line", { y1: box.top, y2: box.bottom + strips, class: "cursor" });
  svg.append(chart.cursor);
}

function drawCurve() {
  const [chart] = charts;
  const rows = Math.max(1, visible().filter(({ condition }) => condition.point).length);
  const width = curve.parentElement.clientWidth;
  const [low, high] = extent(data.conditions.flatMap((it) => [...it.low, ...it.high, it.ceiling]));
  const strips = 16 + rows * 13;
  const plot = new Plot(curve, { height: Math.min(440, Math.max(320, width * 0.5)) + strips, top: 46, bottom: 46, low, high, paper: true, strips });
  chart.plot = plot;
  const middle = (plot.box.left + plot.box.right) / 2;
  const labels = shape("g", { class: "axes", "aria-hidden": "true" });
  labels.append(plot.text("paper’s axis x = r + 1", middle, 14, { "text-anchor": "middle", class: "soft" }));
  labels.append(plot.text("cut r: layers that still see the hidden tokens", middle, plot.height - 6, { "text-anchor": "middle" }));
  labels.append(plot.text("point", plot.box.left - 8, plot.box.bottom + 22, { "text-anchor": "end", class: "soft" }));
  plot.svg.append(labels);
  new Set(visible().map(({ condition }) => condition.ceiling)).forEach((value) => plot.level(value, "ceiling"));
  new Set(visible().map(({ condition }) => condition.zeroShot)).forEach((value) => value !== null && plot.level(value, "zero"));
  addCursor(chart);
  visible().forEach(({ condition, index }) => plot.line({ ...condition, series: index }));
  drawPoints(plot);
}

// The same width and margins as the curve of scores, so that a cut stands below itself.
function drawLanguage(chart) {
  const plot = new Plot(chart.svg, { height: 190, top: 12, bottom: 46, low: 0, high: 1, say: percent });
  chart.plot = plot;
  const middle = (plot.box.left + plot.box.right) / 2;
  plot.svg.append(plot.text("cut r: layers that still see the hidden tokens", middle, plot.height - 6, { "text-anchor": "middle", "aria-hidden": "true" }));
  addCursor(chart);
  visible().filter(({ condition }) => condition.language).forEach(({ condition, index }) => {
    const [mean, low, high] = chart.values(condition);
    plot.line({ cuts: condition.cuts, mean, low, high, marker: condition.marker, series: index });
  });
}

function drawCharts() {
  const [, ...languages] = charts;
  drawCurve();
  languages.forEach(drawLanguage);
  moveCursor();
}

function readings({ values, say }, cut) {
  return visible().flatMap(({ condition, index }) => {
    const place = condition.cuts.indexOf(cut);
    const [mean, low, high] = values(condition);
    if (place < 0 || !mean) return [];
    return [{ index, label: condition.label, mean: say(mean[place]), interval: low ? [say(low[place]), say(high[place])] : [] }];
  });
}

function moveCursor() {
  charts.forEach((chart) => {
    chart.cursor.setAttribute("x1", chart.plot.x(state.cut));
    chart.cursor.setAttribute("x2", chart.plot.x(state.cut));
    const said = readings(chart, state.cut).map(({ label, mean, interval }) => `${label} ${[mean, interval.join(" to ")].filter(Boolean).join(", ")}`);
    chart.svg.setAttribute("aria-valuenow", state.cut);
    chart.svg.setAttribute("aria-valuetext", `cut ${state.cut}: ${said.join("; ") || "no condition shown"}`);
  });
}

function showTip(chart, cut) {
  const rows = readings(chart, cut).map(({ index, label, mean, interval }) => {
    const swatch = sample(index);
    return node("tr", {}, node("td", {}, swatch), node("th", { scope: "row" }, label), node("td", { class: "number" }, mean),
      node("td", { class: "number soft" }, interval.join("–")));
  });
  tip.replaceChildren(
    node("p", {}, node("strong", {}, `cut ${cut}`), ` · paper’s x = ${cut + 1}`),
    node("p", { class: "soft" }, sight(cut, "the hidden tokens")),
    node("table", {}, node("tbody", {}, ...rows)),
  );
  chart.svg.after(tip);
  tip.hidden = false;
  const frame = chart.svg.parentElement.clientWidth;
  const x = chart.plot.x(cut);
  const left = x + 14 + tip.offsetWidth > frame ? x - 14 - tip.offsetWidth : x + 14;
  tip.style.left = `${Math.max(0, Math.min(left, frame - tip.offsetWidth))}px`;
  tip.style.top = `${chart.plot.box.top + 6}px`;
}
const hideTip = () => { tip.hidden = true; };

function sample(index) {
  const svg = shape("svg", { viewBox: "0 0 30 14", width: 30, height: 14, "aria-hidden": "true", class: "sample", style: `color: var(--s${index})` });
  svg.append(shape("path", { d: "M1 7H29", class: "way" }), mark(data.conditions[index].marker, 15, 7, 4));
  return svg;
}

data.conditions.forEach((condition, index) => {
  const found = condition.point ? `layer ${condition.point[0]} (${condition.point[1]}–${condition.point[2]})` : "no point";
  const button = node("button", { type: "button", "aria-pressed": "true", "data-series": index },
    sample(index), node("span", {}, condition.label), node("span", { class: "soft" }, found));
  button.addEventListener("click", () => {
    const shown = new Set(state.shown);
    if (!shown.delete(index)) shown.add(index);
    button.setAttribute("aria-pressed", String(shown.has(index)));
    change({ shown });
  });
  byId("legend").append(button);
});

charts.forEach((chart) => {
  const cutAt = (event) => nearest(allCuts, chart.plot.cutAt(event.clientX));
  chart.svg.addEventListener("pointermove", (event) => showTip(chart, cutAt(event)));
  chart.svg.addEventListener("pointerleave", hideTip);
  chart.svg.addEventListener("click", (event) => change({ cut: cutAt(event) }));
  chart.svg.addEventListener("blur", hideTip);
  chart.svg.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideTip();
    if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    change({ cut: stepTo(allCuts, state.cut, KEYS[event.key](state.cut)) });
    showTip(chart, state.cut);
  });
});
followers.push((patch) => {
  if (patch.shown) drawCharts();
  if (patch.cut !== undefined) moveCursor();
});

// Is it the context that is not needed above the cut, or the layers themselves?
function drawEarly() {
  document.querySelectorAll("svg[data-early]").forEach((svg) => {
    const index = Number(svg.dataset.early);
    const it = data.conditions[index];
    const [low, high] = extent([...it.low, ...it.high, ...it.early, ...(it.earlyLow ?? []), ...(it.earlyHigh ?? [])]);
    const small = new Plot(svg, { height: 150, left: 34, right: 4, top: 10, bottom: 24, low, high });
    small.line({ cuts: it.cuts, mean: it.early, low: it.earlyLow, high: it.earlyHigh, series: "early", dashed: true });
    small.line({ cuts: it.cuts, mean: it.mean, low: it.low, high: it.high, series: index });
  });
}

let drawnAt = 0;
new ResizeObserver(() => {
  const width = curve.parentElement.clientWidth;
  if (width === drawnAt) return;
  drawnAt = width;
  hideTip();
  drawCharts();
  drawEarly();
}).observe(curve.parentElement);
