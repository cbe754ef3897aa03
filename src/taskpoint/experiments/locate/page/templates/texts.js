// One item at every cut: cuts with the same answer share a row.

const sheet = { place: 0 };

function itemName([, subtask, query]) {
  const text = data.texts[query];
  return `${text.length > 60 ? `${text.slice(0, 59)}…` : text} (${data.texts[subtask]})`;
}

function fillItems() {
  const answers = data.answers[state.condition];
  const first = data.changed[state.condition];
  const rest = [...answers.keys()].filter((at) => !first.includes(at));
  const option = (at) => node("option", { value: at }, itemName(answers[at]));
  const groups = [["Answers that change most", first], [first.length ? "All others" : "All items", rest]];
  byId("texts-item").replaceChildren(
    ...groups.filter(([, places]) => places.length).map(([label, places]) => node("optgroup", { label }, ...places.map(option))));
  sheet.place = first[0] ?? 0;
  byId("texts-item").value = sheet.place;
}

// First and last place of every run of cuts with one answer.
function runs(texts) {
  const found = [];
  texts.forEach((text, i) => {
    if (i > 0 && texts[i - 1] === text) found[found.length - 1][1] = i;
    else found.push([i, i]);
  });
  return found;
}

function fillTexts() {
  const answer = data.answers[state.condition][sheet.place];
  if (!answer) return;
  const [, subtask, query, reference, texts, scores, languages] = answer;
  const { cuts, point } = data.conditions[state.condition];
  byId("texts-asked").replaceChildren(quote(data.texts[query]), " ", node("span", { class: "soft" }, data.texts[subtask]));
  byId("texts-expected").replaceChildren(quote(data.texts[reference]));
  byId("texts-rows").replaceChildren(...runs(texts).map(([from, to]) => {
    const here = point && cuts[from] <= point[0] && point[0] <= cuts[to];
    const name = from === to ? `${cuts[from]}` : `${cuts[from]}–${cuts[to]}`;
    return node("tr", {},
      node("th", { scope: "row" }, name, ...(here ? [node("span", { class: "soft" }, " point")] : [])),
      node("td", { class: "number" }, score(scores[from])),
      node("td", {}, ...(languages ? [tag(languages[from]), " "] : []), quote(data.texts[texts[from]])));
  }));
  markTexts();
}

// The row of the chosen cut.
function markTexts() {
  const answer = data.answers[state.condition][sheet.place];
  if (!answer) return;
  const at = place();
  const rows = byId("texts-rows").children;
  runs(answer[4]).forEach(([from, to], i) => rows[i].classList.toggle("chosen", from <= at && at <= to));
}

if (byId("texts")) {
  fillItems();
  fillTexts();
  byId("texts-item").addEventListener("change", (event) => {
    sheet.place = Number(event.target.value);
    fillTexts();
  });
  followers.push((patch) => {
    if (patch.condition !== undefined) {
      fillItems();
      fillTexts();
    } else if (patch.cut !== undefined) markTexts();
  });
}
