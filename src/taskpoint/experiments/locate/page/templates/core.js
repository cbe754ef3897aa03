// What the page knows, what the reader has chosen, and how parts learn of a change.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

const state = {
  cut: data.conditions[0].point ? data.conditions[0].point[0] : data.layers,
  condition: 0,
  shown: new Set(data.conditions.keys()),
};
const followers = [];

function change(patch) {
  Object.assign(state, patch);
  followers.forEach((follow) => follow(patch));
}

function node(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.append(...children);
  return made;
}

// As wording.score and wording.percent in Python.
const OF_HUNDRED = ["BLEU", "chrF", "chrF++"];
function score(value) {
  const text = OF_HUNDRED.includes(data.metric) || Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

function range(first, last) {
  if (first > last) return "no layer";
  return first === last ? `layer ${first}` : `layers ${first}–${last}`;
}

// In words, which layers still see the hidden tokens.
function sight(cut, hidden) {
  const last = data.layers - 1;
  if (cut <= 0) return `no layer sees ${hidden}`;
  if (cut > last) return `every layer sees ${hidden}: nothing is cut`;
  return `${range(0, cut - 1)} see${cut === 1 ? "s" : ""} ${hidden}, ${range(cut, last)} do${cut === last ? "es" : ""} not`;
}

function nearest(cuts, wanted) {
  return cuts.reduce((best, cut) => (Math.abs(cut - wanted) < Math.abs(best - wanted) ? cut : best));
}

// The measured cut that a step from `from` towards `wanted` reaches: never stays where it was if there is another.
function stepTo(cuts, from, wanted) {
  if (wanted > from) return cuts.find((cut) => cut >= wanted) ?? cuts[cuts.length - 1];
  if (wanted < from) return cuts.findLast((cut) => cut <= wanted) ?? cuts[0];
  return nearest(cuts, wanted);
}

const KEYS = {
  ArrowRight: (cut) => cut + 1, ArrowUp: (cut) => cut + 1, ArrowLeft: (cut) => cut - 1, ArrowDown: (cut) => cut - 1,
  PageUp: (cut) => cut + 5, PageDown: (cut) => cut - 5, Home: () => 0, End: () => data.layers,
};

// Light, dark, or what the system says until the button is pressed once.
const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function labelTheme() {
  byId("theme").setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
}
byId("theme").addEventListener("click", () => {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("taskpoint-theme", next); } catch { /* not remembered, but switched */ }
  labelTheme();
});
dark.addEventListener("change", labelTheme);
labelTheme();

byId("copy").addEventListener("click", async () => {
  const command = byId("command");
  let copied = false;
  try {
    await navigator.clipboard.writeText(command.textContent);
    copied = true;
  } catch {
    // Without the clipboard interface (plain http): select the text and use the older command.
    const selection = getSelection();
    selection.selectAllChildren(command);
    copied = document.execCommand("copy");
  }
  byId("copied").textContent = copied ? "Copied" : "Selected: press Ctrl+C";
  setTimeout(() => { byId("copied").textContent = ""; }, 4000);
});

// Paper has no disclosure triangles.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
});
