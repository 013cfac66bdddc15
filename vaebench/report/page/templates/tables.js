"use strict";
// Sorts and filters the rankings.

function valueOf(row, column) {
  const value = row.cells[column].dataset.value;
  const number = Number(value);
  return value === "" || value === "nan" ? NaN : Number.isNaN(number) ? value : number;
}

// Values that are missing stay at the end, whichever way the rest is sorted.
function compare(a, b, sign) {
  const noA = Number.isNaN(a), noB = Number.isNaN(b);
  if (noA || noB) return noA - noB;
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(heading) {
  const table = heading.closest("table"), body = table.tBodies[0];
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const column = heading.cellIndex, sign = ascending ? 1 : -1;
  const rows = [...body.rows];
  rows.sort((a, b) => compare(valueOf(a, column), valueOf(b, column), sign));
  body.append(...rows);
}

function filter(input) {
  const table = document.getElementById(input.getAttribute("aria-controls"));
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) {
    const name = row.cells[1].textContent.toLowerCase();
    row.hidden = !words.every((word) => name.includes(word));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  const count = input.closest(".ranking").querySelector(".count");
  count.textContent = words.length ? `${shown} of ${rows.length} shown` : "";
}

for (const heading of document.querySelectorAll(".ranking thead th")) {
  heading.firstElementChild.addEventListener("click", () => sortBy(heading));
}
for (const input of document.querySelectorAll(".filter")) {
  input.addEventListener("input", () => filter(input));
}
