// The findings of a procedure as a list, and the panel in which the selected one is judged.

import { address } from "./api.js";
import { choose } from "./choices.js";
import { element, fillSelect, make, setAttribute, setText, showList } from "./dom.js";
import { keyOf } from "./keys.js";
import { showPicture } from "./pictures.js";
import { FIELDS, VERDICTS, clock, counted, percent } from "./texts.js";

const NOTE_PAUSE_MS = 900; // after the last letter, before a note is saved
const DETAILS = ["kind", "size", "paris", "nice", "place"];
const CHOSEN = ["cause", ...DETAILS]; // by lists of values
const OPTIONS = { verdict: Object.entries(VERDICTS).map(([value, text]) => ({ value, text })) };

export class FindingList {
  constructor(onPick) {
    this.onPick = onPick;
  }

  show(findings, selected, hidden) {
    const judged = findings.filter((one) => one.verdict).length;
    setText(element("findings-count"), findings.length ? `${judged} of ${findings.length} judged` : "");
    element("no-findings").hidden = findings.length > 0;
    setText(element("no-findings"), hidden ? "You have marked nothing so far" : "The detector marked nothing");
    showList(element("findings"), findings, {
      key: (one) => one.id,
      create: (one) => this.create(one),
      update: (item, one) => update(item, one, one.id === selected),
    });
  }

  create({ id }) {
    const image = make("img", { alt: "" });
    const text = make("span", { class: "text" }, make("strong"), make("span", { class: "soft" }));
    const verdict = make("span", { class: "verdict" });
    return make("li", {}, make("button", { type: "button", onclick: () => this.onPick(id) }, image, text, verdict));
  }
}

function update(item, finding, selected) {
  const button = item.firstChild;
  const [image, text, verdict] = button.children;
  image.hidden = !finding.picture;
  if (finding.picture) showPicture(image, address(finding.picture));
  setText(text.children[0], titleOf(finding));
  setText(text.children[1], whenOf(finding));
  setText(verdict, finding.verdict ? VERDICTS[finding.verdict] : "Not judged");
  verdict.dataset.verdict = finding.verdict ?? "open";
  setAttribute(button, "aria-current", selected);
  if (selected && item.dataset.selected !== "true") item.scrollIntoView({ block: "nearest" });
  item.dataset.selected = selected;
}

export function titleOf({ id, added }) {
  return `${added ? "Added lesion" : "Finding"} ${id}`;
}

function whenOf({ looks_s, score, picture_name: name }) {
  const when = !looks_s.length ? "no boxes" : (name ?? `${clock(looks_s[0][0])} – ${clock(looks_s.at(-1)[1])}`);
  return score === null ? when : `${when}, ${percent(score)}`;
}

export class JudgingPanel {
  // `judge(finding, field, value)` saves a judgement; `say(text)` tells the reader something.
  constructor(lists, judge, say) {
    Object.assign(this, { lists, judge, say, finding: null, note: null });
    this.selects = new Map(CHOSEN.filter((field) => lists[field]?.length).map((field) => [field, this.makeField(field)]));
    element("fields").replaceChildren(...[...this.selects.values()].map((select) => select.parentElement));
    const note = element("note");
    note.addEventListener("input", () => this.noteChanged());
    note.addEventListener("blur", () => this.saveNote());
    addEventListener("pagehide", () => this.saveNote());
  }

  makeField(field) {
    const select = make("select", { id: `field-${field}`, onchange: () => this.set(field, select.value || null) });
    fillSelect(select, this.lists[field]);
    const title = make("span", { text: `${FIELDS[field]} ` }, make("kbd", { text: keyOf(field) }));
    make("label", { for: select.id }, title, select);
    return select;
  }

  // `place` is that of the finding among all, from 1.
  show(finding, place, count) {
    if (finding?.id !== this.finding?.id) this.saveNote();
    this.finding = finding;
    element("judging").hidden = finding === null;
    if (finding === null) return;
    setText(element("finding-title"), `${titleOf(finding)}, ${place} of ${count}`);
    const looks = counted(finding.looks_s.length, "look");
    const score = finding.score === null ? "marked by you" : `best score ${percent(finding.score)}`;
    setText(element("finding-about"), `${looks}, ${score}`);
    for (const button of document.querySelectorAll("[data-verdict][aria-pressed]")) {
      setAttribute(button, "aria-pressed", finding.verdict === button.dataset.verdict);
    }
    for (const [field, select] of this.selects) {
      select.parentElement.hidden = !applies(field, finding);
      const value = finding[field] ?? "";
      // A value that the list no longer holds is shown as it is.
      if (value && ![...select.options].some((one) => one.value === value)) select.append(new Option(value, value));
      if (select.value !== value) select.value = value;
    }
    if (this.note === null && element("note").value !== finding.text) element("note").value = finding.text;
    element("remove").hidden = !finding.added;
  }

  set(field, value) {
    if (this.finding && this.finding[field] !== value) this.judge(this.finding.id, field, value);
  }

  // A verdict that holds already is taken back.
  async setVerdict(verdict) {
    const { finding } = this;
    if (!finding) return;
    const value = finding.verdict === verdict ? null : verdict;
    this.set("verdict", value);
    this.say(value ? `${titleOf(finding)}: ${VERDICTS[value].toLowerCase()}` : `${titleOf(finding)}: verdict taken back`);
    if (value === "wrong") await this.ask("cause");
  }

  // Asks for one value; false when the reader left the question.
  async ask(field) {
    const { finding } = this;
    if (!finding) return false;
    if (!OPTIONS[field] && !this.lists[field]?.length) return true;
    if (!applies(field, finding)) {
      this.say(field === "cause" ? "Only a wrong finding has a cause" : "A wrong finding has none of these");
      return false;
    }
    const value = await choose(FIELDS[field], OPTIONS[field] ?? this.lists[field], { now: finding[field], about: titleOf(finding) });
    if (value !== undefined && this.finding?.id === finding.id) this.set(field, value);
    return value !== undefined;
  }

  // Asks for the verdict and all that belongs to it; true when nothing is left to ask.
  async goThrough() {
    const { finding } = this;
    if (!finding) return false;
    for (const field of ["verdict", ...CHOSEN]) {
      if (this.finding?.id !== finding.id) return false;
      if (applies(field, this.finding) && !(await this.ask(field))) return false;
    }
    return true;
  }

  noteChanged() {
    this.note = this.finding;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.saveNote(), NOTE_PAUSE_MS);
  }

  saveNote() {
    clearTimeout(this.timer);
    const { note } = this;
    this.note = null;
    const text = element("note").value.trim();
    if (note && note.text !== text) this.judge(note.id, "text", text);
  }
}

// Whether a field says something about a finding: a wrong one is no lesion, and only it has a cause.
function applies(field, { verdict }) {
  if (field === "cause") return verdict === "wrong";
  return !DETAILS.includes(field) || verdict !== "wrong";
}
