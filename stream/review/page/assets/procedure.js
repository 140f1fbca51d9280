// The view of one procedure: brings playback, timeline, findings and the panels together.

import { Crops } from "./crops.js";
import { element, fillSelect, make, setAttribute, setText } from "./dom.js";
import { Editing } from "./editing.js";
import { FindingList, JudgingPanel, titleOf } from "./findings.js";
import { Looking } from "./looking.js";
import { Playback } from "./playback.js";
import { Timeline } from "./timeline.js";
import { VERDICTS, clock, counted, grouped, percent } from "./texts.js";
import { WholePanel } from "./whole.js";

const PICTURE_S = 0.9; // that a picture takes on the timeline of the second for which it is shown
const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16];
const ZOOM = 1.6; // a step of the picture
const TIME_ZOOM = 2; // a step of the timeline

export class ProcedureView {
  // `say(text)` shows and reads out a sentence, `aloud(text)` only reads it out.
  constructor({ reviewing, lists, say, aloud }) {
    Object.assign(this, { reviewing, say, aloud, selectedId: null, found: [], ready: false, attempt: 0, withMarks: true, known: new Set() });
    this.playback = new Playback(element("player"));
    setAttribute(element("player").querySelector(".player-marks"), "role", "img");
    setAttribute(element("player").querySelector(".player-marks"), "aria-label", "Recording with its boxes");
    this.timeline = new Timeline({
      onSeek: (at_s) => this.playback.seek(at_s).catch((error) => say(error.message)),
      onPick: (finding) => this.select(finding),
    });
    this.crops = new Crops((recording, frame) => this.playback.show(recording, frame));
    this.list = new FindingList((finding) => this.select(finding));
    const judge = (finding, field, value) => reviewing.do({ do: "judge", finding, field, value });
    this.panel = new JudgingPanel(lists, judge, say);
    this.whole = new WholePanel(
      (change) => reviewing.do(change),
      (recording, time_s) => this.playback.seek(this.playback.inProcedure(recording, time_s)),
    );
    new Looking(reviewing);
    this.editing = new Editing({
      reviewing,
      playback: this.playback,
      findings: () => this.found,
      selected: () => this.selected,
      say,
      onRange: (range) => this.showRange(range),
    });
    this.listen();
    fillSelect(element("speed"), SPEEDS.map((speed) => ({ value: String(speed), text: `${speed} ×` })));
    element("speed").options[0].remove();
    element("speed").value = "1";
    element("speed").addEventListener("change", (event) => this.setSpeed(Number(event.target.value)));
    element("task-cancel").addEventListener("click", () => this.editing.leave());
  }

  listen() {
    const { playback, reviewing } = this;
    playback.addEventListener("frame", () => this.showFrame());
    playback.addEventListener("state", () => this.showFrame());
    playback.addEventListener("recording", () => this.showRecording());
    playback.addEventListener("waiting", ({ detail }) => this.showVeil("Preparing this recording for the browser", detail));
    playback.addEventListener("error", ({ detail }) => this.showError(detail.text));
    playback.addEventListener("picked", ({ detail }) => this.select(detail.finding, { seek: false }));
    reviewing.addEventListener("review", () => this.showReview());
    reviewing.addEventListener("boxes", ({ detail }) => this.showBoxes(detail.recording));
    reviewing.addEventListener("failed", ({ detail }) => this.say(detail.error.message));
    reviewing.outbox.addEventListener("saved", ({ detail }) => this.afterSaving(detail));
    playback.player.setBoxes((frame) => reviewing.boxes?.get(playback.recording)?.marks(frame, this.selectedId) ?? []);
  }

  // Raises what the server said, for example that there is no procedure of this name.
  async open(name, reader) {
    this.selectedId = null;
    this.setReady(false);
    setText(element("procedure-title"), name);
    const attempt = (this.attempt += 1);
    const going = () => attempt === this.attempt;
    const onWaiting = ({ text, progress }) => going() && this.showVeil(text, { text: "", share: progress });
    if (!(await this.reviewing.open(name, reader, { onWaiting, going }))) return;
    const { about } = this.reviewing;
    this.playback.open(name, about.recordings);
    this.timeline.open({ duration_s: this.playback.duration_s, strip: about.strip });
    this.setReady(true);
    this.editing.reset();
    this.crops.clear();
    this.known = new Set(this.reviewing.review.findings.map((one) => one.id));
    const useful = about.useful_share === null ? "" : `, ${percent(about.useful_share)} useful`;
    const length = about.pictures.length ? counted(about.pictures.length, "picture") : clock(this.playback.duration_s);
    setText(element("procedure-about"), `${length}${useful}`);
    setText(element("frame-word"), about.pictures.length ? "Picture" : "Frame");
    element("picture-name").hidden = !about.pictures.length;
    element("time").parentElement.hidden = about.pictures.length > 0;
    setText(element("length"), clock(this.playback.duration_s, 2));
    this.makeRecordings(about.recordings);
    this.sortFindings();
    const first = this.nextOpen(null) ?? this.findings[0];
    if (first) this.select(first.id, { quiet: true });
    else this.showReview();
    if (!first && about.recordings.length) await this.playback.show(0, 0);
  }

  // Nothing can be done before the review is there.
  setReady(ready) {
    this.ready = ready;
    for (const part of document.querySelectorAll("#procedure :is(.side, .controls, .timeline)")) part.inert = !ready;
  }

  close() {
    this.setReady(false);
    this.attempt += 1;
    this.panel.saveNote();
    this.editing.reset();
    this.playback.close();
    this.reviewing.close();
  }

  makeRecordings(recordings) {
    element("recordings").hidden = recordings.length < 2;
    element("recordings").replaceChildren(
      ...recordings.map(({ number, name }) =>
        make("button", { type: "button", text: name, onclick: () => this.playback.show(number, 0) }),
      ),
    );
  }

  // Findings with their looks in seconds of the procedure, in the order of time.
  get findings() {
    return this.found;
  }

  get selected() {
    return this.found.find((one) => one.id === this.selectedId) ?? null;
  }

  sortFindings() {
    const { findings } = this.reviewing.review;
    this.found = findings.map((one) => this.timed(one)).sort((one, other) => startOf(one) - startOf(other));
  }

  showReview() {
    if (!this.ready) return;
    const { review } = this.reviewing;
    this.sortFindings();
    if (!this.selected) this.selectedId = null;
    const turn = review.turning_point;
    const turn_s = turn ? this.playback.inProcedure(turn.recording, turn.time_s) : null;
    this.timeline.show(this.found, this.selectedId, turn_s);
    this.list.show(this.found, this.selectedId, review.hidden);
    const place = this.found.indexOf(this.selected);
    this.panel.show(this.selected, place + 1, this.found.length);
    this.whole.show(review, turn_s);
    element("blind").hidden = !review.hidden;
    element("remark").hidden = !review.note;
    setText(element("remark"), review.note ?? "");
    this.showFrame();
  }

  timed(finding) {
    const { pictures } = this.reviewing.about;
    const longer_s = pictures.length ? PICTURE_S : 0;
    const looks_s = finding.looks.map(({ recording, first_s, last_s }) =>
      [first_s, last_s + longer_s].map((time_s) => this.playback.inProcedure(recording, time_s)),
    );
    return { ...finding, looks_s, picture_name: pictures[finding.looks[0]?.first_frame] };
  }

  showFrame() {
    const { playback } = this;
    if (playback.recording === null) return;
    setText(element("time"), clock(playback.at_s, 2));
    const { pictures } = this.reviewing.about; // which people count from 1
    setText(element("frame"), grouped(playback.frame + (pictures.length ? 1 : 0)));
    setText(element("picture-name"), pictures[playback.frame] ?? "");
    element("play").classList.toggle("playing", playback.player.playing);
    setAttribute(element("play"), "aria-label", playback.player.playing ? "Pause" : "Play");
    this.timeline.showHead(playback.at_s);
    this.crops.mark(playback.frame);
  }

  showRecording() {
    const { playback } = this;
    element("veil").hidden = true;
    setText(element("frames"), grouped(playback.frames));
    [...element("recordings").children].forEach((button, number) =>
      setAttribute(button, "aria-pressed", number === playback.recording),
    );
    this.editing.reset();
    playback.player.setMarks(this.withMarks);
    playback.player.setRate(Number(element("speed").value));
    if (!this.reviewing.boxes.has(playback.recording)) this.loadBoxes(playback.recording);
    else this.showBoxes(playback.recording);
  }

  loadBoxes(recording) {
    this.reviewing.loadBoxes(recording).catch((error) => this.say(`Boxes are missing: ${error.message}`));
  }

  showBoxes(recording) {
    const { playback } = this;
    if (recording !== playback.recording) return;
    playback.player.redraw();
    const boxes = this.reviewing.boxes.get(recording);
    if (!boxes || !this.selected) this.crops.clear();
    else {
      const about = this.reviewing.about.recordings[recording];
      this.crops.show(this.reviewing.name, about, boxes, this.selectedId, playback.table);
      this.crops.mark(playback.frame);
    }
  }

  showVeil(title, { text, share }) {
    element("veil").hidden = false;
    setText(element("veil-title"), title);
    setText(element("veil-text"), text);
    element("veil-progress").hidden = share === undefined;
    if (share !== undefined) element("veil-progress").value = share;
  }

  // A recording that is shown goes on, whatever happened to a single picture.
  showError(text) {
    if (this.playback.recording === null) this.showVeil("This recording cannot be shown", { text });
    else this.say(text);
  }

  showRange(range) {
    const { playback } = this;
    const times = range && playback.table ? range.map((frame) => playback.table[frame]) : null;
    this.timeline?.showRange(times && times.map((time_s) => playback.inProcedure(playback.recording, time_s)));
  }

  // Selects a finding and shows its first box.
  async select(id, { seek = true, quiet = false } = {}) {
    this.selectedId = id;
    this.showReview();
    const finding = this.selected;
    if (!finding) return;
    if (!quiet) {
      const verdict = finding.verdict ? VERDICTS[finding.verdict].toLowerCase() : "not judged";
      const place = this.found.indexOf(finding) + 1;
      const start = finding.looks_s.length ? `, at ${clock(startOf(finding))}` : "";
      this.aloud(`${titleOf(finding)}, ${place} of ${this.found.length}${start}, ${verdict}`);
    }
    this.showBoxes(this.playback.recording);
    const look = finding.looks[0];
    if (!seek || !look) return;
    this.playback.player.pause();
    await this.playback.show(look.recording, look.first_frame);
    this.showBoxes(look.recording);
  }

  step(way) {
    if (this.found.length === 0) {
      this.say("There is no finding");
      return;
    }
    const place = this.found.indexOf(this.selected);
    const next = place < 0 ? (way > 0 ? 0 : this.found.length - 1) : place + way;
    if (next < 0 || next >= this.found.length) this.say(way > 0 ? "This is the last finding" : "This is the first finding");
    else this.select(this.found[next].id);
  }

  // The next finding after one that is not judged; from the start again after the last.
  nextOpen(after) {
    const start = this.found.indexOf(after) + 1;
    const order = [...this.found.slice(start), ...this.found.slice(0, start)];
    return order.find((one) => one.verdict === null && one.id !== after?.id) ?? null;
  }

  selectNextOpen() {
    const next = this.nextOpen(this.selected);
    if (next) this.select(next.id);
    else if (this.selected && this.selected.verdict === null) this.say("This is the only one that is not judged");
    else this.say(`All ${counted(this.found.length, "finding")} judged`);
  }

  async ask(field) {
    if (this.needFinding()) await this.panel.ask(field);
  }

  async judge(verdict) {
    if (this.needFinding()) await this.panel.setVerdict(verdict);
  }

  async goThrough() {
    if (this.needFinding() && (await this.panel.goThrough())) this.say(`${titleOf(this.selected)}: nothing left to ask`);
  }

  needFinding() {
    if (!this.selected) this.say("Choose a finding first");
    return this.selected;
  }

  // A new lesion is selected when the server has given it a name.
  afterSaving({ entry, review }) {
    if (!this.ready || !this.reviewing.isOf(entry)) return;
    const made = review.findings.find((one) => !this.known.has(one.id));
    this.known = new Set(review.findings.map((one) => one.id));
    if (made && entry.change.do === "add") this.select(made.id, { seek: false });
  }

  async turningPoint() {
    await this.playback.arrived; // the frame that was asked for, not the one before it
    const { recording, time_s } = this.playback;
    if (recording === null) return;
    this.reviewing.do({ do: "turning_point", recording, time_s });
    this.say(`Turning point at ${clock(this.playback.at_s)}`);
  }

  noTurningPoint() {
    if (this.reviewing.review.turning_point) this.reviewing.do({ do: "turning_point" });
  }

  toggleDone() {
    const state = this.reviewing.review.state === "done" ? "in_review" : "done";
    this.whole.setState(state);
    const open = this.found.filter((one) => one.verdict === null).length;
    if (state === "in_review") this.say("In review again");
    else this.say(open ? `Done; ${counted(open, "finding")} not judged` : "Done");
  }

  setSpeed(speed) {
    element("speed").value = String(speed);
    this.playback.player.setRate(speed);
  }

  changeSpeed(way) {
    const place = SPEEDS.indexOf(Number(element("speed").value)) + way;
    if (SPEEDS[place] === undefined) return;
    this.setSpeed(SPEEDS[place]);
    this.say(`Speed ${SPEEDS[place]} ×`);
  }

  toggleMarks() {
    this.withMarks = !this.withMarks;
    this.playback.player.setMarks(this.withMarks);
    setAttribute(element("marks"), "aria-pressed", this.withMarks);
    this.say(this.withMarks ? "Marks shown" : "Marks hidden");
  }

  // Larger around the selected finding's box where it has one here, around the middle of the picture otherwise.
  zoomIn() {
    const { playback } = this;
    if (playback.recording === null) return;
    const { width, height } = this.reviewing.about.recordings[playback.recording];
    const row = this.selectedId && this.reviewing.boxes.get(playback.recording)?.at(this.selectedId, playback.frame);
    const [x, y] = row ? [(row[1] + row[3]) / 2, (row[2] + row[4]) / 2] : [width / 2, height / 2];
    playback.player.setZoom(playback.player.zoom * ZOOM, x, y);
  }

  // What the keys and buttons of this view do, by the names of `keys.js`.
  get actions() {
    const { playback, timeline, editing } = this;
    const tell = (promise) => promise.catch((error) => this.say(error.message));
    const go = (seconds) => () => tell(playback.go(seconds));
    const actions = {
      play: () => tell(playback.toggle()),
      back: go(-1),
      forward: go(1),
      farBack: go(-10),
      farForward: go(10),
      frameBack: () => tell(playback.step(-1)),
      frameForward: () => tell(playback.step(1)),
      toStart: () => tell(playback.seek(0)),
      toEnd: () => tell(playback.seek(playback.duration_s)),
      slower: () => this.changeSpeed(-1),
      faster: () => this.changeSpeed(1),
      marks: () => this.toggleMarks(),
      zoomIn: () => this.zoomIn(),
      zoomOut: () => playback.player.setZoom(1),
      next: () => this.step(1),
      previous: () => this.step(-1),
      nextOpen: () => this.selectNextOpen(),
      timeIn: () => timeline.zoom(1 / TIME_ZOOM),
      timeOut: () => timeline.zoom(TIME_ZOOM),
      timeAll: () => timeline.all(),
      turningPoint: () => tell(this.turningPoint()),
      noTurningPoint: () => this.noTurningPoint(),
      right: () => this.judge("right"),
      wrong: () => this.judge("wrong"),
      unsure: () => this.judge("unsure"),
      goThrough: () => this.goThrough(),
      cause: () => this.ask("cause"),
      kind: () => this.ask("kind"),
      size: () => this.ask("size"),
      paris: () => this.ask("paris"),
      nice: () => this.ask("nice"),
      place: () => this.ask("place"),
      note: () => this.needFinding() && element("note").focus(),
      draw: () => editing.draw(),
      moveBox: () => editing.move(),
      fill: () => editing.fill(),
      deleteBoxes: () => editing.deleteBoxes(),
      rangeStart: () => editing.rangeStart(),
      rangeEnd: () => editing.rangeEnd(),
      add: () => editing.add(),
      join: () => editing.join(),
      split: () => editing.split(),
      remove: () => editing.remove(),
      bbps: () => this.whole.askScores(),
      done: () => this.toggleDone(),
      undo: () => this.reviewing.undo(),
      redo: () => this.reviewing.do({ do: "redo" }),
    };
    return Object.fromEntries(Object.entries(actions).map(([name, act]) => [name, () => this.ready && act()]));
  }
}

function startOf(finding) {
  return finding.looks_s[0]?.[0] ?? Infinity;
}
