// The list of procedures: state, search, filters, order.

import { get, path } from "./api.js";
import { element, make, setAttribute, setText, showList } from "./dom.js";
import { STATES, counted, grouped } from "./texts.js";

const FILTERS = { all: "All", ...STATES, failed: "Failed" };
const ASK_AGAIN_MS = 15000; // a study may still be going on
const NUMBERS = ["judged", "findings", "minutes", "recordings"];
const STATE_KINDS = { new: "off", in_review: "wait", done: "good" };

export class StartView {
  constructor({ outbox, say }) {
    Object.assign(this, { outbox, say, procedures: [], reader: "", filter: "all", sort: "name", down: false, shown: [] });
    element("filters").replaceChildren(
      ...Object.entries(FILTERS).map(([name, text]) =>
        make("button", { type: "button", "data-filter": name, onclick: () => this.setFilter(name) }, text, make("small")),
      ),
    );
    element("search").addEventListener("input", () => this.show());
    for (const head of document.querySelectorAll("#procedures th[data-sort]")) {
      head.firstChild.addEventListener("click", () => this.setSort(head.dataset.sort));
    }
    outbox.addEventListener("state", () => this.show());
    setInterval(() => this.open && !document.hidden && this.load().catch(() => {}), ASK_AGAIN_MS);
  }

  async enter(reader) {
    this.open = true;
    this.reader = reader;
    await this.load();
  }

  leave() {
    this.open = false;
  }

  async load() {
    this.procedures = await get(`${path("procedures")}?reader=${encodeURIComponent(this.reader)}`);
    this.show();
  }

  setFilter(filter) {
    this.filter = filter;
    this.show();
  }

  // The same column again turns the order round. Numbers begin with the largest.
  setSort(sort) {
    this.down = sort === this.sort ? !this.down : NUMBERS.includes(sort);
    this.sort = sort;
    this.show();
  }

  show() {
    const wanted = element("search").value.trim().toLowerCase();
    this.shown = this.procedures
      .filter((one) => isIn(this.filter, one) && one.name.toLowerCase().includes(wanted))
      .sort((one, other) => (this.down ? -1 : 1) * compare(this.sort, one, other) || compare("name", one, other));
    for (const button of element("filters").children) {
      setAttribute(button, "aria-pressed", button.dataset.filter === this.filter);
      const count = this.procedures.filter((one) => isIn(button.dataset.filter, one)).length;
      setText(button.lastChild, ` ${grouped(count)}`);
      button.hidden = button.dataset.filter === "failed" && count === 0;
    }
    for (const head of document.querySelectorAll("#procedures th[data-sort]")) {
      if (head.dataset.sort === this.sort) head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    showList(element("rows"), this.shown, { key: (one) => one.name, create: makeRow, update: (row, one) => this.showRow(row, one) });
    const findings = this.procedures.reduce((sum, one) => sum + (one.findings ?? 0), 0);
    const judged = this.procedures.reduce((sum, one) => sum + one.judged, 0);
    const known = this.procedures.some((one) => one.findings !== null);
    const about = known ? `, ${grouped(judged)} of ${counted(findings, "finding")} judged by you` : "";
    setText(element("start-about"), `${counted(this.procedures.length, "procedure")}${about}`);
    element("no-rows").hidden = this.shown.length > 0;
    setText(element("no-rows"), this.procedures.length ? "None fits" : "There are no procedures yet");
  }

  showRow(row, one) {
    const [name, state, judged, findings, minutes, recordings] = row.children;
    const [link, remark] = name.children;
    const unsaved = this.outbox.pending(one.name, this.reader).length;
    setText(link, one.name);
    link.href = `#p/${encodeURIComponent(one.name)}`;
    setText(remark, one.failure ?? (unsaved ? `${counted(unsaved, "change")} not saved yet` : ""));
    remark.hidden = remark.textContent === "";
    const chip = state.firstChild;
    setText(chip, one.failure ? "Failed" : STATES[one.state]);
    chip.dataset.kind = one.failure ? "bad" : STATE_KINDS[one.state];
    const [share, text] = judged.children;
    share.hidden = !one.findings;
    share.max = Math.max(1, one.findings ?? 0);
    share.value = one.judged;
    setText(text, one.findings ? grouped(one.judged) : "–");
    setText(findings, one.findings === null ? "–" : grouped(one.findings));
    setText(minutes, lengthOf(one));
    setText(recordings, grouped(one.recordings));
  }

  // Moves the focus to the row before or after the one that has it.
  moveRow(way) {
    const links = [...element("rows").querySelectorAll("a")];
    const place = links.indexOf(document.activeElement) + (document.activeElement?.closest("#rows") ? way : way > 0 ? 1 : 0);
    links[Math.min(Math.max(0, place), links.length - 1)]?.focus();
  }

  // The procedure before or after one, in the order of the list.
  async neighbour(name, way) {
    if (this.procedures.length === 0) await this.load();
    const place = this.shown.findIndex((one) => one.name === name);
    return this.shown[place + way]?.name ?? null;
  }
}

function lengthOf({ minutes, pictures }) {
  if (pictures) return counted(pictures, "picture");
  return minutes === null ? "–" : `${minutes.toFixed(minutes < 10 ? 1 : 0)} min`;
}

function makeRow() {
  const judged = make("td", { class: "number judged" }, make("progress", { "aria-hidden": "true" }), make("span"));
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, make("a"), make("small")),
    make("td", {}, make("span", { class: "chip" })),
    judged,
    ...NUMBERS.slice(1).map(() => make("td", { class: "number" })),
  );
}

function isIn(filter, { state, failure }) {
  if (filter === "all") return true;
  return filter === "failed" ? Boolean(failure) : state === filter && !failure;
}

function compare(sort, one, other) {
  if (sort === "name") return one.name.localeCompare(other.name, undefined, { numeric: true, sensitivity: "base" });
  if (sort === "state") return Object.keys(STATES).indexOf(one.state) - Object.keys(STATES).indexOf(other.state);
  return (one[sort] ?? 0) - (other[sort] ?? 0);
}
