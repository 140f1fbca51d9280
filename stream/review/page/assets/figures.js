// Figures of the whole study by what was judged, with their intervals.

import { address, get } from "./api.js";
import { element, make } from "./dom.js";
import { grouped, percent } from "./texts.js";

const UNITS = { per_minute: "a minute", per_procedure: "a procedure", s: "s" };

export class FiguresView {
  async enter(reader) {
    const query = `reader=${encodeURIComponent(reader)}`;
    const { about, figures, tables } = await get(`api/figures?${query}`);
    element("figures-about").replaceChildren(...about.flatMap((line) => [line, make("br")]).slice(0, -1));
    element("figures-body").replaceChildren(
      make("dl", { class: "cards" }, ...figures.map(showFigure)),
      ...tables.flatMap(showTable),
      make("p", {}, make("a", { href: address(`api/figures.csv?${query}`), download: "figures.csv", text: "The same as a table (CSV)" })),
    );
  }
}

function showFigure({ name, value, low, high, unit, of }) {
  const range = low === null || high === null ? null : `95 % interval ${written(low, unit)} to ${written(high, unit)}`;
  const lines = [range, of].filter(Boolean).map((text) => make("small", { text }));
  const words = value === null || !UNITS[unit] ? null : make("span", { text: ` ${UNITS[unit]}` });
  return make("div", {}, make("dt", { text: name }), make("dd", {}, written(value, unit), words, ...lines));
}

function written(value, unit) {
  if (value === null) return "–";
  return unit === "share" ? percent(value, 1) : value.toFixed(2);
}

// A table with its title above it, which scrolls by itself where it is too wide.
export function showTable({ title, columns, rows }) {
  const isNumber = (value) => value === null || typeof value === "number";
  const numbers = columns.map((_, place) => rows.every((row) => isNumber(row[place])));
  const kind = (place) => (numbers[place] ? "number" : null);
  const head = make("tr", {}, ...columns.map((text, place) => make("th", { scope: "col", class: kind(place), text })));
  const body = rows.map((row) =>
    make(
      "tr",
      {},
      ...row.map((value, place) =>
        make(place ? "td" : "th", { scope: place ? null : "row", class: kind(place) }, cell(value)),
      ),
    ),
  );
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  return [
    make("h2", { text: title }),
    make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": title }, table),
  ];
}

function cell(value) {
  if (value === null || value === undefined) return "–";
  if (value instanceof Node) return value;
  if (typeof value !== "number") return value;
  return Number.isInteger(value) ? grouped(value) : value.toFixed(2);
}
