// How far two readers agree (Cohen's kappa), and the findings on which they differ.

import { get } from "./api.js";
import { element, fillSelect, make } from "./dom.js";
import { showTable } from "./figures.js";
import { FIELDS, VERDICTS, clock, counted, percent, worded } from "./texts.js";

export class ReadersView {
  constructor({ lists }) {
    this.lists = lists;
    for (const select of [element("reader-a"), element("reader-b")]) {
      select.addEventListener("change", () => this.load().catch((error) => this.fail(error)));
    }
  }

  // Begins with the reader of this browser and another one.
  async enter(reader) {
    const { readers } = await get("api/study");
    const values = readers.map((name) => ({ value: name, text: name }));
    const [first, second] = [element("reader-a"), element("reader-b")];
    const before = [first.value, second.value];
    for (const select of [first, second]) fillSelect(select, values, "Choose");
    first.value = before[0] || (readers.includes(reader) ? reader : (readers[0] ?? ""));
    second.value = before[1] || (readers.find((name) => name !== first.value) ?? "");
    await this.load();
  }

  async load() {
    const pair = [element("reader-a").value, element("reader-b").value];
    const [agreement, differences] = [element("agreement"), element("differences")];
    differences.replaceChildren();
    if (pair.includes("") || pair[0] === pair[1]) {
      agreement.replaceChildren(make("p", { class: "empty", text: "Two readers who are done with the same procedures can be compared" }));
      return;
    }
    const query = `readers=${pair.map(encodeURIComponent).join(",")}`;
    const [found, differing] = await Promise.all([get(`api/agreement?${query}`), get(`api/differences?${query}`)]);
    const fields = Object.entries(found.fields);
    agreement.replaceChildren(
      make("p", { class: "soft", text: `${counted(found.procedures.length, "procedure")} with which both are done` }),
      make("dl", { class: "cards" }, ...fields.map(showKappa)),
      ...fields.filter(([, { items }]) => items > 0).flatMap((field) => this.showCounts(field, pair)),
    );
    differences.replaceChildren(...this.showDifferences(differing, pair));
  }

  fail(error) {
    element("agreement").replaceChildren(make("p", { class: "fault", role: "alert", text: error.message }));
  }

  textOf(field, value) {
    if (value === null) return "–";
    if (field === "verdict") return VERDICTS[value] ?? worded(value);
    return this.lists[field]?.find((one) => one.value === value)?.text ?? value;
  }

  // Values that neither reader chose are left out.
  showCounts([field, { values, table }], [one, other]) {
    const used = values.map((_, place) => place).filter((place) => table[place].some(Boolean) || table.some((row) => row[place]));
    const text = (place) => this.textOf(field, values[place]);
    return showTable({
      title: FIELDS[field],
      columns: [`${one} ↓ ${other} →`, ...used.map(text)],
      rows: used.map((place) => [text(place), ...used.map((column) => table[place][column])]),
    });
  }

  showDifferences(differences, [one, other]) {
    if (differences.length === 0) return [make("h2", { text: "Differences" }), make("p", { text: "They differ nowhere" })];
    const rows = differences.flatMap(({ procedure, findings, time_s, differ }) =>
      Object.entries(differ).map(([field, values]) => {
        const text = `${procedure}, finding ${findings[0] ?? findings[1]}`;
        const link = make("a", { href: `#p/${encodeURIComponent(procedure)}`, text });
        return [link, clock(time_s), FIELDS[field], ...values.map((value) => this.textOf(field, value))];
      }),
    );
    return showTable({ title: "Differences", columns: ["Finding", "Time", "What", one, other], rows });
  }
}

function showKappa([field, { kappa, interval_95: interval, weighting, items, agreed }]) {
  const lines = [
    interval && `95 % interval ${interval[0].toFixed(2)} to ${interval[1].toFixed(2)}`,
    `${percent(agreed)} equal, of ${items} of which both said something`,
  ];
  const title = `${FIELDS[field]}: kappa${weighting === "none" ? "" : `, ${weighting} weights`}`;
  const small = lines.filter(Boolean).map((text) => make("small", { text }));
  return make("div", {}, make("dt", { text: title }), make("dd", {}, kappa === null ? "–" : kappa.toFixed(2), ...small));
}
