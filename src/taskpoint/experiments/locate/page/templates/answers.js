// What the model answers to each item at the chosen cut.

const FEW = 20; // rows at first, so that the controls below stay within reach
const MORE = 100; // rows on each request, so that a run of thousands of items stays quick
const bar = byId("cut");
const list = byId("items");
const view = { filter: "all", search: "", limit: FEW, rows: [] };
const fold = (text) => text.normalize("NFKC").toLocaleLowerCase();

const place = () => data.conditions[state.condition].cuts.indexOf(nearest(data.conditions[state.condition].cuts, state.cut));

function icon(good) {
  const svg = shape("svg", { viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true", class: `icon ${good ? "good" : "bad"}` });
  if (good) svg.append(shape("circle", { cx: 10, cy: 10, r: 9 }), shape("path", { d: "M5.8 10.4l2.9 2.9 5.6-6.2" }));
  else svg.append(shape("rect", { x: 1.5, y: 1.5, width: 17, height: 17, rx: 4 }), shape("path", { d: "M6.5 6.5l7 7m0-7l-7 7" }));
  return svg;
}

// "at cuts 4–12", so that the strip of bars is not the only way to know.
function stretches(cuts, good) {
  const found = [];
  cuts.forEach((cut, i) => {
    if (!good[i]) return;
    if (i > 0 && good[i - 1]) found[found.length - 1][1] = cut;
    else found.push([cut, cut]);
  });
  return found.map(([from, to]) => (from === to ? from : `${from}–${to}`)).join(", ");
}

function strip(cuts, good, languages) {
  const wide = 120 / cuts.length;
  const gap = Math.min(2, wide / 4);
  const height = languages ? 32 : 24;
  const svg = shape("svg", { viewBox: `0 0 120 ${height}`, width: 120, height, class: "strip", "aria-hidden": "true" });
  if (languages) languageBand(svg, languages, wide);
  cuts.forEach((cut, i) => {
    const tall = good[i] ? 14 : 4;
    svg.append(shape("rect", { x: i * wide + gap / 2, y: 16 - tall, width: wide - gap, height: tall, rx: 1, class: good[i] ? "good" : "bad" }));
  });
  const here = shape("path", { d: `M0 ${height - 6}L4 ${height - 0.5}H-4Z`, class: "here" });
  svg.append(here);
  svg.addEventListener("click", (event) => {
    const seen = svg.getBoundingClientRect();
    const i = Math.floor(((event.clientX - seen.left) / seen.width) * cuts.length);
    change({ cut: cuts[Math.max(0, Math.min(cuts.length - 1, i))] });
  });
  return { svg, move: (i) => here.setAttribute("transform", `translate(${(i + 0.5) * wide} 0)`) };
}

function quote(text) {
  if (text.trim() === "") return node("em", { class: "soft" }, text === "" ? "(empty)" : "(blank)");
  return node("bdi", { dir: "auto" }, text);
}

// Graded metrics (BLEU, chrF) have no right and wrong: an item is good where it is no worse than with nothing cut.
function makeRow([item, subtask, query, reference, texts, scores, languages, told], graded) {
  const it = data.conditions[state.condition];
  const last = scores.length - 1;
  const good = scores.map((value) => (graded ? value >= scores[last] : value >= 1));
  const bars = strip(it.cuts, good, languages);
  const row = {
    good, texts, scores, languages, bars, graded, full: texts[last],
    fixed: fold([item, data.texts[subtask], data.texts[query], data.texts[reference]].join("\n")),
    mark: node("td", { class: "verdict", role: "cell" }), answer: node("td", { class: "answer", role: "cell" }),
  };
  const when = stretches(it.cuts, good);
  row.element = node("tr", { role: "row" }, row.mark,
    node("th", { scope: "row", role: "rowheader" }, quote(data.texts[query]), node("span", { class: "subtask" }, node("bdi", {}, data.texts[subtask]))),
    row.answer,
    node("td", { class: "expected", role: "cell" }, node("span", { class: "name" }, "expected "), quote(data.texts[reference])),
    node("td", { class: "by-cut", role: "cell" }, bars.svg,
      node("span", { class: "hush" }, when ? `${graded ? "as good as uncut" : "right"} at cuts ${when}` : "never right",
        languages ? `; ${data.texts[told]}` : "")));
  return row;
}

function build() {
  const answers = data.answers[state.condition];
  const graded = answers.some((answer) => answer[5].some((value) => value !== 0 && value !== 1));
  view.rows = answers.map((answer) => makeRow(answer, graded));
  byId("wrong-name").textContent = graded ? "Worse than uncut" : "Wrong";
  list.replaceChildren(...view.rows.map((row) => row.element));
  if (byId("story")) chooseStory(0);
}

function fill(row, i) {
  const good = row.good[i];
  const verdict = row.graded ? `${score(row.scores[i])}` : "";
  const said = row.graded ? (good ? "as good as uncut" : "worse than uncut") : good ? "right" : "wrong";
  row.mark.replaceChildren(icon(good), node("span", { class: row.graded ? "hush" : "said" }, said), verdict);
  row.element.dataset.good = String(good);
  const text = data.texts[row.texts[i]];
  const parts = [node("span", { class: "name" }, "answer "), ...(row.languages ? [tag(row.languages[i])] : []), quote(text)];
  if (row.texts[i] !== row.full) parts.push(node("span", { class: "uncut" }, "uncut: ", quote(data.texts[row.full])));
  row.answer.replaceChildren(...parts);
  row.bars.move(i);
}

// Said once the slider rests: a live region that speaks at every step drowns the slider's own value.
let announcing = 0;
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => { byId("status").textContent = text; }, 600);
}

function refresh() {
  const i = place();
  const it = data.conditions[state.condition];
  const cut = it.cuts[i];
  const changed = (row) => row.texts[i] !== row.full;
  const wrong = (row) => !row.good[i];
  const keeps = { all: () => true, changed, wrong }[view.filter];
  const wanted = fold(view.search.trim());
  let found = 0;
  view.rows.forEach((row) => {
    fill(row, i);
    const matches = wanted === "" || row.fixed.includes(wanted) || fold(data.texts[row.texts[i]]).includes(wanted);
    const stays = keeps(row) && matches;
    if (stays) found += 1;
    row.element.hidden = !stays || found > view.limit;
  });
  const right = view.rows.filter((row) => row.good[i]).length;
  byId("count-all").textContent = view.rows.length;
  byId("count-changed").textContent = view.rows.filter(changed).length;
  byId("count-wrong").textContent = view.rows.length - right;
  byId("nothing").hidden = found > 0;
  byId("more").hidden = found <= view.limit;
  byId("more").textContent = `Show ${Math.min(MORE, found - view.limit)} more of ${found}`;
  byId("shares").textContent = `${right} of ${view.rows.length} ${view.rows.some((row) => row.graded) ? "as good as uncut" : "right"}`;
  byId("cut-name").textContent = `cut ${cut}`;
  byId("cut-words").textContent = sight(cut, it.hidden);
  byId("language-share").textContent = languageWords(i);
  if (byId("story")) tellStory(i);
  announce([`cut ${cut}: ${byId("shares").textContent}`, languageWords(i), `${found} shown`].filter(Boolean).join("; "));
  bar.value = cut;
  bar.setAttribute("aria-valuetext", `cut ${cut} of ${data.layers}: ${sight(cut, it.hidden)}`);
  byId("layers").querySelectorAll("i").forEach((cell, layer) => cell.classList.toggle("sees", layer < cut));
}

if (byId("answers")) {
  for (let layer = 0; layer < data.layers; layer += 1) byId("layers").append(node("i"));
  build();
  refresh();
  followers.push((patch) => {
    if (patch.condition !== undefined) build();
    if (patch.condition !== undefined || patch.cut !== undefined) refresh();
  });
  // The bar counts all layers, so that it lines up with the row of layers above it; cuts not measured are stepped over.
  bar.addEventListener("input", () => {
    const cuts = data.conditions[state.condition].cuts;
    change({ cut: stepTo(cuts, cuts[place()], Number(bar.value)) });
  });
  byId("condition").addEventListener("change", (event) => change({ condition: Number(event.target.value) }));
  byId("filters").addEventListener("change", (event) => {
    Object.assign(view, { filter: event.target.value, limit: FEW });
    refresh();
  });
  byId("search").addEventListener("input", (event) => {
    Object.assign(view, { search: event.target.value, limit: FEW });
    refresh();
  });
  byId("more").addEventListener("click", () => {
    view.limit += MORE;
    refresh();
  });
}
