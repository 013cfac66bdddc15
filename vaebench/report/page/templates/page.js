"use strict";
// Draws the charts, and shows in all of them and in the rankings which variant is picked.

const DATA = JSON.parse(document.getElementById("points").textContent);
const VIEWS = new Map();
let picked = null;

function pick(name) {
  picked = name === picked ? null : name;
  for (const button of document.querySelectorAll(".pick")) {
    const isPicked = button.textContent === picked;
    button.setAttribute("aria-pressed", String(isPicked));
    button.closest("tr")?.classList.toggle("picked", isPicked);
  }
  for (const view of VIEWS.values()) view.signal("picked", picked).runAsync();
}

// The points of one kind: those of one observation space, each with the name and colour of its
// variant, or all, where they are of no variant.
function pointsOf(kind, space) {
  const table = DATA.tables[kind], { variants } = DATA, columns = Object.keys(table);
  const rows = [];
  for (let i = 0; i < table[columns[0]].length; i++) {
    const variant = table.v?.[i];
    if (table.v && variants.space[variant] !== space) continue;
    const row = table.v ? { name: variants.name[variant], colour: variants.colour[variant] } : {};
    for (const column of columns) row[column] = table[column][i];
    rows.push(row);
  }
  return rows;
}

function look() {
  const style = getComputedStyle(document.documentElement);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const text = { labelColor: ink, titleColor: ink };
  return {
    ...DATA.config,
    background: "transparent",
    axis: { ...DATA.config.axis, ...text, gridColor: line, domainColor: soft, tickColor: soft },
    legend: { ...DATA.config.legend, ...text },
  };
}

async function draw(figure) {
  const spec = JSON.parse(figure.dataset.spec), kind = figure.dataset.points;
  spec.datasets = { [kind]: pointsOf(kind, DATA.variants.space[Number(figure.dataset.variant)]) };
  spec.params = (spec.params || []).map((one) => (one.name === "picked" ? { ...one, value: picked } : one));
  VIEWS.get(figure)?.finalize();
  const { view } = await vegaEmbed(figure, spec, { actions: false, ast: true, config: look(), renderer: "canvas" });
  view.addEventListener("click", (_, item) => pick(item?.datum?.name ?? picked));
  VIEWS.set(figure, view);
}

for (const button of document.querySelectorAll(".pick")) {
  button.addEventListener("click", () => pick(button.textContent));
}

// A chart is drawn when it comes near the window: a large study has many.
const nearby = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    nearby.unobserve(target);
    draw(target);
  }
}, { rootMargin: "600px" });
for (const figure of document.querySelectorAll(".chart")) nearby.observe(figure);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [...VIEWS.keys()].forEach(draw));

// A link to the runs of a variant opens them.
function open() {
  document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", "");
}
addEventListener("hashchange", open);
open();
