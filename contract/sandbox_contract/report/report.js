"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const chips = all(".chip");
const search = document.querySelector("#search");
const shown = document.querySelector("#shown");
const areas = all(".area");
const clauses = all(".clause");
const references = all("[data-clause]");
const texts = new Map(clauses.map((clause) => [clause, clause.rows[0].textContent.toLowerCase()]));
const initiallyOpen = new Map(areas.map((area) => [area, area.open]));

function filter() {
  const pressed = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true");
  const outcomes = pressed.map((chip) => chip.dataset.outcome);
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (clause) =>
    (!outcomes.length || outcomes.includes(clause.dataset.outcome)) &&
    words.every((word) => texts.get(clause).includes(word));
  const matching = new Set(clauses.filter(matches));
  const ids = new Set([...matching].map((clause) => clause.id));
  const isFiltered = outcomes.length + words.length > 0;

  clauses.forEach((clause) => { clause.hidden = !matching.has(clause); });
  references.forEach((reference) => { reference.classList.toggle("out", !ids.has(reference.dataset.clause)); });
  areas.forEach((area) => {
    area.hidden = !all(".clause", area).some((clause) => matching.has(clause));
    area.open = isFiltered ? !area.hidden : initiallyOpen.get(area);
  });
  shown.textContent = isFiltered ? `${matching.size} of ${clauses.length} clauses shown` : "";
}

// Open the <details> around the link's target: older browsers do not do so by themselves.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let element = target; element; element = element.parentElement) {
    if (element.tagName === "DETAILS") element.open = true;
  }
  all(".evidence > td > details", target).forEach((details) => { details.open = true; });
  target.scrollIntoView();
}

chips.forEach((chip) => chip.addEventListener("click", () => {
  chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
  filter();
}));
search.addEventListener("input", filter);
window.addEventListener("hashchange", openTarget);
document.documentElement.classList.add("scripted");
openTarget();
