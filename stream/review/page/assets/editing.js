// What a reader does to boxes and lesions: draw, fill in, delete, join, split, add, remove.

import { choose } from "./choices.js";
import { element, setText } from "./dom.js";
import { titleOf } from "./findings.js";
import { clock, counted } from "./texts.js";

export class Editing {
  // `findings()` are all in the order of time, `selected()` is the selected one, `say(text)` tells the reader something,
  // `onRange([first, last] | null)` is called when the range of frames changes.
  constructor({ reviewing, playback, findings, selected, say, onRange }) {
    Object.assign(this, { reviewing, playback, findings, selected, say, onRange });
    this.reset();
    playback.addEventListener("drawn", ({ detail }) => this.drawn(detail));
    playback.addEventListener("moved", ({ detail }) => this.moved(detail));
    element("player").addEventListener(
      "keydown",
      (event) => {
        if (event.key === "Escape" && this.leave()) event.stopPropagation();
      },
      { capture: true }, // the player leaves its own part by the same key
    );
  }

  // Another procedure or recording: what was begun is over.
  reset() {
    this.range = null; // frames of the shown recording, first and last
    this.adding = null; // {recording, boxes} of a missed lesion
    this.task = ""; // what the player is doing: "draw", "move" or nothing
    this.showRange();
    this.showTask();
  }

  // Leaves what was begun; false where nothing was.
  leave() {
    if (this.task || this.adding) {
      this.playback.player.leave();
      this.adding = null;
      this.task = "";
      this.showTask();
      this.say("Left, nothing was changed");
      return true;
    }
    if (this.range) {
      this.range = null;
      this.showRange();
      return true;
    }
    return false;
  }

  draw() {
    if (!this.needFinding()) return;
    this.adding = null;
    this.begin();
  }

  begin() {
    this.task = "draw";
    this.playback.player.draw();
    this.showTask();
  }

  // Moves the box of this frame by keys; a pointer may always drag it.
  move() {
    const finding = this.needFinding();
    if (!finding) return;
    const { recording, frame, player } = this.playback;
    if (!this.reviewing.boxes.get(recording)?.at(finding.id, frame)) {
      this.say("It has no box on this frame");
      return;
    }
    this.adding = null;
    this.task = "move";
    player.edit();
    this.showTask();
  }

  drawn({ frame, box }) {
    this.task = "";
    const { recording } = this.playback;
    if (!this.adding) {
      const finding = this.selected();
      if (finding) this.reviewing.do({ do: "box", finding: finding.id, recording, frame, box });
      this.showTask();
      return;
    }
    this.adding.boxes[frame] = box;
    if (Object.keys(this.adding.boxes).length >= this.wanted) {
      const { boxes } = this.adding;
      this.adding = null;
      this.reviewing.do({ do: "add", recording, boxes, refine: true });
    }
    this.showTask();
  }

  moved({ frame, finding, box }) {
    this.task = "";
    this.showTask();
    this.reviewing.do({ do: "box", finding, recording: this.playback.recording, frame, box });
  }

  // Boxes of a missed lesion: one is as good as all where pictures need not belong together.
  get wanted() {
    return this.reviewing.about.pictures.length ? 1 : 2;
  }

  // A missed lesion: the first call draws its box here, the next one on another frame.
  add() {
    const { recording } = this.playback;
    if (recording === null) return;
    if (this.adding?.recording !== recording) this.adding = { recording, boxes: {} };
    this.begin();
  }

  rangeStart() {
    const { frame } = this.playback;
    this.range = [frame, Math.max(frame, this.range?.[1] ?? frame)];
    this.showRange();
  }

  rangeEnd() {
    const { frame } = this.playback;
    this.range = [Math.min(frame, this.range?.[0] ?? frame), frame];
    this.showRange();
  }

  deleteBoxes() {
    const finding = this.needFinding();
    if (!finding) return;
    const { recording, frame } = this.playback;
    const [first, last] = this.range ?? [frame, frame];
    const boxes = this.reviewing.boxes.get(recording);
    const some = boxes?.frames(finding.id).some((one) => one >= first && one <= last);
    if (!some) {
      this.say(this.range ? "It has no box in the range" : "It has no box on this frame");
      return;
    }
    this.reviewing.do({ do: "delete_boxes", finding: finding.id, recording, first, last });
  }

  fill() {
    const finding = this.needFinding();
    if (!finding) return;
    const { recording, frame } = this.playback;
    const range = this.range ?? this.reviewing.boxes.get(recording)?.drawnAround(finding.id, frame);
    if (!range) {
      this.say("Draw the box on two frames, or set a range, then boxes are filled in between");
      return;
    }
    this.reviewing.do({ do: "interpolate", finding: finding.id, recording, first: range[0], last: range[1] });
  }

  split() {
    const finding = this.needFinding();
    if (!finding) return;
    const { recording, frame } = this.playback;
    this.reviewing.do({ do: "split", finding: finding.id, recording, frame });
  }

  async join() {
    const finding = this.needFinding();
    if (!finding) return;
    const others = this.findings().filter((one) => one.id !== finding.id);
    if (others.length === 0) {
      this.say("There is no other finding");
      return;
    }
    const options = others.map((one) => ({
      value: one.id,
      text: one.looks_s.length ? `${titleOf(one)}, ${clock(one.looks_s[0][0])}` : titleOf(one),
    }));
    const other = await choose(`Join ${titleOf(finding).toLowerCase()} with`, options, { none: "" });
    if (other !== undefined) this.reviewing.do({ do: "join", findings: [finding.id, other] });
  }

  remove() {
    const finding = this.needFinding();
    if (finding?.added) this.reviewing.do({ do: "remove", finding: finding.id });
    else if (finding) this.say("The detector found this one: judge it wrong instead");
  }

  needFinding() {
    const finding = this.selected();
    if (!finding) this.say("Choose a finding first");
    return this.playback.recording === null ? null : finding;
  }

  showRange() {
    const { range } = this;
    const text = range
      ? `Range: frames ${range[0]} to ${range[1]}, ${counted(range[1] - range[0] + 1, "frame")}. Esc leaves it.`
      : "No range. [ starts one at the shown frame, ] ends it.";
    setText(element("range-text"), text);
    this.onRange(range);
  }

  showTask() {
    const shown = this.task !== "" || this.adding !== null;
    element("task").hidden = !shown;
    if (shown) setText(element("task-text"), this.taskText());
  }

  taskText() {
    const name = titleOf(this.selected() ?? { id: "" }).toLowerCase();
    if (this.task === "move") return `Box of ${name}: arrows move it, with Shift its size. Enter takes it.`;
    const how = "Drag with the mouse or a finger, or by the arrows (with Shift its size) and Enter.";
    if (!this.adding) return `Draw the box of ${name}. ${how}`;
    const count = Object.keys(this.adding.boxes).length;
    if (this.task === "draw") return `Missed lesion${this.wanted === 1 ? "" : count ? ", second box" : ", first box"}. ${how}`;
    return "Missed lesion: go to another frame on which it is seen, and press A.";
  }
}
