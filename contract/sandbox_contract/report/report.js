"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const chips = all(".chip");
const search = document.querySelector("#search");
const shown = document.querySelector("#shown");
const areas = all(".area");
const clauses = all(".clause");
const mentions = all("[data-clause]");
const texts = new Map(clauses.map((clause) => [clause, clause.rows[0].textContent.toLowerCase()]));
const opened = new Map(areas.map((area) => [area, area.open]));

function filter() {
  const pressed = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true");
  const outcomes = pressed.map((chip) => chip.dataset.outcome);
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (clause) =>
    (!outcomes.length || outcomes.includes(clause.dataset.outcome)) &&
    words.every((word) => texts.get(clause).includes(word));
  const found = new Set(clauses.filter(fits));
  const ids = new Set([...found].map((clause) => clause.id));
  const isFiltered = outcomes.length + words.length > 0;

  clauses.forEach((clause) => { clause.hidden = !found.has(clause); });
  mentions.forEach((mention) => { mention.classList.toggle("out", !ids.has(mention.dataset.clause)); });
  areas.forEach((area) => {
    area.hidden = !all(".clause", area).some((clause) => found.has(clause));
    area.open = isFiltered ? !area.hidden : opened.get(area);
  });
  shown.textContent = isFiltered ? `${found.size} of ${clauses.length} clauses shown` : "";
}

// Browsers open what a link leads into; older ones have to be told.
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let each = target; each; each = each.parentElement) {
    if (each.tagName === "DETAILS") each.open = true;
  }
  all(".evidence > td > details", target).forEach((details) => { details.open = true; });
  target.scrollIntoView();
}

chips.forEach((chip) => chip.addEventListener("click", () => {
  chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
  filter();
}));
search.addEventListener("input", filter);
window.addEventListener("hashchange", follow);
document.documentElement.classList.add("scripted");
follow();
