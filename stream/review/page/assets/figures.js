// Figures of the whole study by what was judged, with their intervals.

import { address, get } from "./api.js";
import { element, make } from "./dom.js";
import { counted, grouped, percent, worded } from "./texts.js";

// Names of the server's figures, and how their values are written; figures by cause have the cause at their end.
const FIGURES = {
  sensitivity_per_lesion: ["Sensitivity per lesion", "share", "lesion"],
  false_positives_per_procedure: ["False positives", "a procedure", "procedure"],
  false_positives_per_minute_of_withdrawal: ["False positives", "a minute of withdrawal", "minute"],
  false_positives_per_minute_of_recording: ["False positives, no turning point", "a minute of recording", "minute"],
  time_to_first_alarm_median_s: ["Time to the first alarm, median", "s", ""],
  time_to_first_alarm_p90_s: ["Time to the first alarm, 90 % are faster", "s", ""],
};
const BY_CAUSE = "false_positives_per_procedure_";
const FINDINGS = { right: "Lesions found", added: "Lesions missed", wrong: "False positives", unsure: "Not sure", not_judged: "Not judged" };

export class FiguresView {
  // In a blind study readers see figures of what they have judged themselves, else those of all readers.
  constructor({ blind }) {
    this.blind = blind;
  }

  async enter(reader) {
    const query = this.blind ? `?reader=${encodeURIComponent(reader)}` : "";
    const { procedures, readers, findings, figures } = await get(`api/figures${query}`);
    const by = readers.length ? `, judged by ${readers.join(", ")}` : "";
    element("figures-about").textContent =
      `${counted(procedures.done, "procedure")} done${by}; ${procedures.not_done} not done, which count nowhere`;
    element("figures-body").replaceChildren(
      make("dl", { class: "cards" }, ...Object.keys(FIGURES).map((name) => showFigure(FIGURES[name], figures[name]))),
      ...showTable({
        title: "False positives by cause",
        columns: ["Cause", "Count", "A procedure", "95 % interval"],
        rows: Object.keys(figures).filter((name) => name.startsWith(BY_CAUSE)).map((name) => causeRow(name, figures[name])),
      }),
      ...showTable({
        title: "Findings",
        columns: ["Findings", "Count"],
        rows: Object.entries(FINDINGS).map(([name, text]) => [text, findings[name]]),
      }),
      make("p", {}, make("a", { href: address(`api/figures.csv${query}`), download: "figures.csv", text: "The same as a table (CSV)" })),
    );
  }
}

function showFigure([title, unit, of], { value, interval_95: interval, count, of: whole }) {
  const lines = [
    interval && `95 % interval ${written(interval[0], unit)} to ${written(interval[1], unit)}`,
    whole === null
      ? counted(count, "lesion")
      : `${grouped(count)} ${unit === "share" ? "of" : "in"} ${counted(Math.round(10 * whole) / 10, of)}`,
  ];
  const words = unit === "share" ? null : make("span", { text: ` ${unit}` });
  const small = lines.filter(Boolean).map((text) => make("small", { text }));
  return make("div", {}, make("dt", { text: title }), make("dd", {}, written(value, unit), words, ...small));
}

function causeRow(name, { value, interval_95: interval, count }) {
  const range = interval && `${interval[0].toFixed(2)} to ${interval[1].toFixed(2)}`;
  return [worded(name.slice(BY_CAUSE.length)), count, value, range];
}

function written(value, unit) {
  if (value === null) return "–";
  return unit === "share" ? percent(value, 1) : value.toFixed(2);
}

// A table with its title above it, which scrolls by itself where it is too wide. Nothing where it has no rows.
export function showTable({ title, columns, rows }) {
  if (rows.length === 0) return [];
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
  if (value instanceof Node || typeof value !== "number") return value;
  return Number.isInteger(value) ? grouped(value) : value.toFixed(2);
}
