// What is said of the whole procedure: turning point, Boston scale and state.

import { choose } from "./choices.js";
import { element, make, setAttribute, setText } from "./dom.js";
import { STATES, clock } from "./texts.js";

const SEGMENTS = ["Right colon", "Transverse colon", "Left colon"];
// Lai, Calderwood, Doros, Fix, Jacobson: The Boston bowel preparation scale (2009).
const SCORES = [
  "Mucosa not seen, solid stool",
  "Parts of the mucosa seen",
  "Mucosa seen well, some residue",
  "Whole mucosa seen well",
];

export class WholePanel {
  // `change(change)` saves, `go(recording, time_s)` shows a time.
  constructor(change, go) {
    Object.assign(this, { change, go, review: null, scores: [null, null, null] });
    this.selects = SEGMENTS.map((segment, place) => this.makeScore(segment, place));
    element("bbps").replaceChildren(...this.selects);
    this.states = Object.entries(STATES).map(([state, text]) =>
      make("button", { type: "button", text, "data-state": state, onclick: () => this.setState(state) }),
    );
    element("states").replaceChildren(...this.states);
    element("turn-time").addEventListener("click", () => {
      const { turning_point: turn } = this.review;
      if (turn) this.go(turn.recording, turn.time_s);
    });
  }

  makeScore(segment, place) {
    const select = make("select", { "aria-label": `BBPS, ${segment.toLowerCase()}`, title: segment });
    select.append(new Option("–", ""), ...SCORES.map((text, score) => new Option(String(score), score)));
    select.addEventListener("change", () => this.setScore(place, select.value === "" ? null : Number(select.value)));
    return select;
  }

  // `turn_s` is the turning point in seconds of the procedure.
  show(review, turn_s) {
    if (this.review?.procedure !== review.procedure) this.scores = [null, null, null];
    this.review = review;
    setText(element("turn-time"), turn_s === null ? "Not given" : `at ${clock(turn_s)}`);
    element("turn-time").disabled = turn_s === null;
    if (review.bbps) this.scores = [...review.bbps];
    else if (!this.scores.includes(null)) this.scores = [null, null, null];
    this.showScores();
    for (const button of this.states) setAttribute(button, "aria-pressed", button.dataset.state === review.state);
    element("undo").disabled = review.undo === null;
    element("redo").disabled = review.redo === null;
    setAttribute(element("undo"), "aria-label", review.undo ? `Undo: ${review.undo}` : "Undo");
    setAttribute(element("redo"), "aria-label", review.redo ? `Redo: ${review.redo}` : "Redo");
  }

  showScores() {
    this.selects.forEach((select, place) => (select.value = String(this.scores[place] ?? "")));
    const whole = !this.scores.includes(null);
    setText(element("bbps-sum"), whole ? `${this.scores.reduce((sum, score) => sum + score, 0)} of 9` : "");
  }

  // The scale is saved when all three segments have a score, and taken back when none has.
  setScore(place, score) {
    this.scores[place] = score;
    this.showScores();
    const given = this.scores.filter((one) => one !== null).length;
    if (given === 3) this.change({ do: "bbps", value: [...this.scores] });
    if (given === 0 && this.review.bbps) this.change({ do: "bbps", value: null });
  }

  async askScores() {
    const options = SCORES.map((text, score) => ({ value: score, text }));
    const scores = [];
    for (const [place, segment] of SEGMENTS.entries()) {
      const score = await choose(`BBPS: ${segment.toLowerCase()}`, options, { now: this.scores[place], none: "", caps: "0123" });
      if (score === undefined) return;
      scores.push(score);
    }
    this.scores = scores;
    this.showScores();
    this.change({ do: "bbps", value: scores });
  }

  setState(state) {
    if (this.review.state !== state) this.change({ do: "state", value: state });
  }
}
