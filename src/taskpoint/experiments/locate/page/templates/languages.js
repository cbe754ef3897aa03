// In which language an answer is: a tag beside it, a band below its strip, and one item that tells the change best.

const COLOURS = 5; // as many as html.py defines; more languages share them, and their tags still name them
const colourOf = (tongue) => (tongue < 0 ? "var(--line)" : `var(--l${tongue % COLOURS})`);

// tongue: number of the language in data.tongues, -1 when unknown
function tag(tongue) {
  return node("span", { class: tongue < 0 ? "tag unclear" : "tag", style: `--t: ${colourOf(tongue)}` }, data.tongues[tongue] ?? "unclear");
}

// One cell a cut in the colour of its language, below the bars of `strip`.
function languageBand(svg, languages, wide) {
  languages.forEach((tongue, i) => {
    svg.append(shape("rect", { x: i * wide, y: 19, width: wide + 0.2, height: 5, style: `fill: ${colourOf(tongue)}` }));
  });
}

const story = { at: 0, answer: null };

function chooseStory(at) {
  const places = data.stories[state.condition];
  story.at = places.length ? at % places.length : 0;
  story.answer = places.length ? data.answers[state.condition][places[story.at]] : null;
  byId("story").hidden = story.answer === null;
  byId("another").hidden = places.length < 2;
  if (story.answer === null) return;
  const [, subtask, query, reference, , , , told] = story.answer;
  byId("story-asked").replaceChildren(node("bdi", { dir: "auto" }, data.texts[query]), " ", node("span", { class: "soft" }, data.texts[subtask]));
  byId("story-expected").replaceChildren(node("bdi", { dir: "auto" }, data.texts[reference]));
  byId("story-changes").textContent = data.texts[told];
}

// i: place of the chosen cut among those of the condition
function tellStory(i) {
  if (story.answer === null) return;
  const [, , , , texts, scores, languages] = story.answer;
  byId("story").style.setProperty("--t", colourOf(languages[i]));
  byId("story-answer").replaceChildren(tag(languages[i]), " ", quote(data.texts[texts[i]]));
  byId("story-score").textContent = `${data.metric} ${score(scores[i])}`;
}

// What is added to the line of the chosen cut, and to what a screen reader hears; empty where nothing was measured.
function languageWords(i) {
  const { language } = data.conditions[state.condition];
  return language ? `${percent(language[i])} in the asked language` : "";
}

if (byId("story")) byId("another").addEventListener("click", () => {
  chooseStory(story.at + 1);
  tellStory(place());
});
