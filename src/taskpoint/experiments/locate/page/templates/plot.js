// A line chart in SVG: axes, bands, lines with marks. Knows numbers and pixels, nothing of the page.

function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const steps = [1, 2, 5, 10].map((factor) => factor * power);
  const first = (step) => Math.ceil(low / step - 1e-9);
  const last = (step) => Math.floor(high / step + 1e-9);
  const wide = steps.find((candidate) => candidate >= raw * 0.999);
  // One tick alone gives no scale: 0 to 42 is then ticked at 0, 20 and 40, not at 0 only.
  const step = steps.findLast((candidate) => candidate <= wide && last(candidate) > first(candidate)) ?? wide;
  return Array.from({ length: last(step) - first(step) + 1 }, (_, i) => Number(((first(step) + i) * step).toPrecision(12)));
}

function cutTicks(width) {
  const step = [1, 2, 4, 5, 10, 20].find((candidate) => (width / data.layers) * candidate >= 26) ?? 50;
  const cuts = [];
  for (let cut = 0; cut <= data.layers; cut += step) cuts.push(cut);
  return cuts;
}

function extent(values) {
  const low = Math.min(0, ...values);
  const high = Math.max(...values);
  if (low === 0 && high > 0.5 && high <= 1) return [0, 1];
  const pad = (high - low || 1) * 0.05;
  return [low === 0 ? 0 : low - pad, high + pad];
}

const MARKS = {
  circle: (r) => `M${r} 0A${r} ${r} 0 1 1 ${-r} 0A${r} ${r} 0 1 1 ${r} 0Z`,
  square: (r) => `M${-r} ${-r}H${r}V${r}H${-r}Z`,
  triangle: (r) => `M0 ${-1.15 * r}L${1.15 * r} ${r}H${-1.15 * r}Z`,
  down: (r) => `M0 ${1.15 * r}L${1.15 * r} ${-r}H${-1.15 * r}Z`,
  diamond: (r) => `M0 ${-1.3 * r}L${1.3 * r} 0L0 ${1.3 * r}L${-1.3 * r} 0Z`,
  cross: (r) => `M${-r} ${-r}L0 ${-0.4 * r}L${r} ${-r}L${0.4 * r} 0L${r} ${r}L0 ${0.4 * r}L${-r} ${r}L${-0.4 * r} 0Z`,
};

function mark(name, x, y, size) {
  return shape("path", { d: MARKS[name](size), transform: `translate(${x} ${y})`, class: "mark" });
}

// series: [{ cuts, mean, low, high, marker, series (number of its colour), dashed, labelled }]
class Plot {
  constructor(svg, { height, left = 44, right = 16, top = 14, bottom = 40, low, high, paper = false, strips = 0, say = String }) {
    this.svg = svg;
    this.width = Math.max(220, svg.parentElement.clientWidth);
    this.height = height;
    this.box = { left, right: this.width - right, top, bottom: height - bottom - strips };
    this.low = low;
    this.high = high;
    this.strips = strips;
    this.paper = paper;
    this.say = say;
    svg.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    svg.setAttribute("height", height);
    svg.replaceChildren();
    this.axes();
  }

  x(cut) { return this.box.left + 8 + (cut / data.layers) * (this.box.right - this.box.left - 16); }

  y(value) {
    return this.box.bottom - ((value - this.low) / (this.high - this.low)) * (this.box.bottom - this.box.top);
  }

  // The cut under a pixel of the page.
  cutAt(clientX) {
    const seen = this.svg.getBoundingClientRect();
    const inside = ((clientX - seen.left) / seen.width) * this.width - this.box.left - 8;
    return (inside / (this.box.right - this.box.left - 16)) * data.layers;
  }

  text(content, x, y, attributes = {}) {
    const made = shape("text", { x, y, ...attributes });
    made.textContent = content;
    return made;
  }

  axes() {
    const { left, right, top, bottom } = this.box;
    const group = shape("g", { class: "axes", "aria-hidden": "true" });
    ticks(this.low, this.high, Math.max(2, Math.round((bottom - top) / 55))).forEach((value) => {
      const y = this.y(value);
      group.append(shape("line", { x1: left, x2: right, y1: y, y2: y, class: "grid" }));
      group.append(this.text(this.say(value), left - 8, y + 4, { "text-anchor": "end" }));
    });
    const foot = bottom + this.strips;
    group.append(shape("line", { x1: left, x2: right, y1: foot, y2: foot, class: "rule" }));
    cutTicks(right - left - 16).forEach((cut) => {
      group.append(shape("line", { x1: this.x(cut), x2: this.x(cut), y1: foot, y2: foot + 4, class: "rule" }));
      group.append(this.text(String(cut), this.x(cut), foot + 18, { "text-anchor": "middle" }));
      if (!this.paper) return;
      group.append(this.text(String(cut + 1), this.x(cut), top - 12, { "text-anchor": "middle", class: "soft" }));
    });
    this.svg.append(group);
  }

  level(value, kind) {
    const y = this.y(value);
    this.svg.append(shape("line", { x1: this.box.left, x2: this.box.right, y1: y, y2: y, class: `level ${kind}` }));
  }

  line({ cuts, mean, low, high, marker, series, dashed = false }) {
    const group = shape("g", { class: `line${dashed ? " dashed" : ""}`, style: `color: var(--s${series})`, "data-series": series });
    if (low && high) {
      const up = cuts.map((cut, i) => `${this.x(cut)} ${this.y(high[i])}`);
      const down = cuts.map((cut, i) => `${this.x(cut)} ${this.y(low[i])}`).reverse();
      group.append(shape("path", { d: `M${[...up, ...down].join("L")}Z`, class: "band" }));
    }
    const way = cuts.map((cut, i) => `${this.x(cut)} ${this.y(mean[i])}`).join("L");
    group.append(shape("path", { d: `M${way}`, class: "way" }));
    const room = (this.x(data.layers) - this.x(0)) / data.layers;
    if (marker && room > 9) cuts.forEach((cut, i) => group.append(mark(marker, this.x(cut), this.y(mean[i]), 4)));
    this.svg.append(group);
    return group;
  }
}
