// How far two readers agree (Cohen's kappa), and the findings on which they differ.

import { get } from "./api.js";
import { element, fillSelect, make } from "./dom.js";
import { showTable } from "./figures.js";
import { FIELDS, VERDICTS, clock, percent } from "./texts.js";

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
      agreement.replaceChildren(make("p", { class: "empty", text: "Two readers who have judged the same findings can be compared" }));
      return;
    }
    const query = `readers=${pair.map(encodeURIComponent).join(",")}`;
    const [found, differing] = await Promise.all([get(`api/agreement?${query}`), get(`api/differences?${query}`)]);
    agreement.replaceChildren(
      ...found.about.map((text) => make("p", { class: "soft", text })),
      make("dl", { class: "cards" }, ...found.fields.map(showKappa)),
      ...found.fields.filter(({ count }) => count > 0).flatMap((field) => this.showCounts(field, pair)),
    );
    differences.replaceChildren(...this.showDifferences(differing.differences, pair));
  }

  fail(error) {
    element("agreement").replaceChildren(make("p", { class: "fault", role: "alert", text: error.message }));
  }

  textOf(field, value) {
    if (value === null) return "–";
    if (field === "verdict") return VERDICTS[value] ?? value;
    return this.lists[field]?.find((one) => one.value === value)?.text ?? value;
  }

  showCounts({ field, values, table }, [one, other]) {
    const texts = values.map((value) => this.textOf(field, value));
    return showTable({
      title: FIELDS[field],
      columns: [`${one} ↓ ${other} →`, ...texts],
      rows: table.map((row, place) => [texts[place], ...row]),
    });
  }

  showDifferences(differences, [one, other]) {
    if (differences.length === 0) return [make("h2", { text: "Differences" }), make("p", { text: "They differ nowhere" })];
    const rows = differences.flatMap(({ procedure, findings, time_s, fields }) => {
      const link = () =>
        make("a", { href: `#p/${encodeURIComponent(procedure)}`, text: `${procedure}, finding ${findings[0] ?? findings[1]}` });
      if (fields.length === 0) {
        return [[link(), clock(time_s ?? 0), "Lesion", ...findings.map((id) => (id === null ? "–" : "Added"))]];
      }
      return fields.map(({ field, values }) => [
        link(),
        clock(time_s ?? 0),
        FIELDS[field],
        ...values.map((value) => this.textOf(field, value)),
      ]);
    });
    return showTable({ title: "Differences", columns: ["Finding", "Time", "What", one, other], rows });
  }
}

function showKappa({ field, kappa, low, high, weighted, count, same }) {
  const lines = [
    low === null || high === null ? null : `95 % interval ${low.toFixed(2)} to ${high.toFixed(2)}`,
    `${percent(same)} equal, of ${count} that both judged`,
  ];
  const title = `${FIELDS[field]}: kappa${weighted ? ", weighted" : ""}`;
  const small = lines.filter(Boolean).map((text) => make("small", { text }));
  return make("div", {}, make("dt", { text: title }), make("dd", {}, kappa === null ? "–" : kappa.toFixed(2), ...small));
}
