// The live page: brings the connection, the picture and the panels together, and says how things stand.

import { Connection } from "./connection.js";
import { keepHome } from "./home.js";
import { showFigures, showStatus, Timeline } from "./panels.js";
import { setText, stateOf, STATES } from "./states.js";
import { View } from "./view.js";

const TOAST_MS = 4000;
const element = (id) => document.getElementById(id);

keepHome();
let connected = false;
let fresh = false; // whether a frame was drawn since the page was connected, or seen again
let controls = false;
let room = ""; // its name, where there are several
let status = null;
let toast_ms = 0;

const view = new View(
  { frame: element("frame"), picture: element("picture"), marks: element("marks") },
  (index) => {
    connection.say({ drawn: index });
    fresh = connected;
    render();
  },
);
const timeline = new Timeline();
const connection = new Connection({
  open() {
    connected = true;
    fresh = false;
    if (document.hidden) connection.say({ watch: false });
  },
  lost() {
    connected = false;
    fresh = false;
    render();
  },
  hello(message) {
    controls = message.controls;
    room = message.room;
    setText(element("room-name"), room);
    element("room").hidden = !room;
    document.title = room ? `${room} – polypstream live` : "polypstream live";
    render();
  },
  status(message) {
    status = message.status;
    view.withField = status.detection_on;
    showStatus(status);
    render();
  },
  marks(message) {
    view.takeMarks(message);
  },
  figures: showFigures,
  timeline(message) {
    timeline.show(message.entries);
  },
  notice(message) {
    say(message.text);
  },
  frame(header, jpeg) {
    view.take(header, jpeg);
  },
});

function say(text) {
  element("toast").textContent = text;
  element("toast").hidden = false;
  toast_ms = performance.now();
}

function render() {
  const name = stateOf({ connected, status, fresh, drawn_ms: view.drawn_ms });
  const state = STATES[name];
  const live = name === "running";
  set("state", state.chip, state.kind);
  document.body.dataset.state = name;

  const known = status !== null && connected && name !== "ended";
  const on = known && status.detection_on;
  element("detection").hidden = !known;
  set("detection", on ? "Detection on" : "Detection off", on ? "good" : "bad");
  const off = live && !on;
  element("banner").hidden = !off;
  if (off) setText(element("banner"), `Detection off${status.detection_reason ? `: ${status.detection_reason}` : ""}`);

  element("veil").hidden = live;
  if (!live) {
    setText(element("veil-title"), name === "connecting" && !connected ? "Connecting to polypstream" : state.title);
    setText(element("veil-text"), veilText(name));
    const seconds = view.drawn_ms === null ? 0 : Math.floor((performance.now() - view.drawn_ms) / 1000);
    setText(element("veil-age"), seconds > 0 && name !== "ended" ? `The picture is ${seconds} s old` : "");
  }
  renderTools();
}

function veilText(name) {
  if (name === "ended" && room) return status.reason; // of this room; others may go on
  if (name === "ended") return "This page goes on by itself, or asks for the token, when polypstream is started again.";
  return name === "lost" || !status ? "" : status.reason;
}

function renderTools() {
  const recording = Boolean(status?.recording) && connected;
  const failed = connected ? status?.recording_reason : "";
  element("recording").hidden = !recording && !failed;
  set("recording", recording ? "Recording" : `Not recording: ${failed}`, recording ? "record" : "bad");
  const unclassified = connected ? status?.classification_reason : "";
  element("classification").hidden = !unclassified;
  set("classification", `Classification off: ${unclassified}`, "bad");
  element("record").hidden = !controls;
  element("record").disabled = !connected || status?.state === "ended";
  element("record").setAttribute("aria-pressed", String(recording));
  setText(element("record-text"), recording ? "Stop" : "Record");
  element("record-more").hidden = !recording;
  element("snapshot").disabled = view.drawn === null;
}

function set(id, text, kind) {
  setText(element(id), text);
  element(id).dataset.kind = kind;
}

function toggleMarks() {
  view.withMarks = !view.withMarks;
  element("toggle-marks").setAttribute("aria-pressed", String(view.withMarks));
  view.drawMarks();
}

async function saveSnapshot() {
  if (view.drawn === null) return;
  const index = view.drawn.frame;
  const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await view.snapshot());
  link.download = `polypstream-${time}-frame-${index}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say(`Frame ${index} saved as a picture`);
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else element("stage").requestFullscreen?.().catch(() => say("This browser does not let the page fill the screen"));
}

element("toggle-marks").addEventListener("click", toggleMarks);
element("snapshot").addEventListener("click", saveSnapshot);
element("full").addEventListener("click", toggleFullScreen);
element("record").addEventListener("click", () =>
  connection.say({ command: status?.recording ? "stop_recording" : "start_recording" }),
);
element("full").hidden = !document.fullscreenEnabled;
document.addEventListener("fullscreenchange", () =>
  element("full").setAttribute("aria-pressed", String(document.fullscreenElement !== null)),
);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const action = { m: toggleMarks, s: saveSnapshot, f: toggleFullScreen }[event.key.toLowerCase()];
  if (action) action();
  // The browser itself leaves the full screen with this key.
  if (event.key === "Escape" && room && !document.fullscreenElement) location.assign("../");
});
// A page that nobody sees asks for no pictures; what it showed last is old when it is seen again.
document.addEventListener("visibilitychange", () => {
  fresh = false;
  connection.say({ watch: !document.hidden });
  render();
});
setInterval(() => {
  if (performance.now() - toast_ms > TOAST_MS) element("toast").hidden = true;
  element("clock").textContent = new Date().toLocaleTimeString([], { hour12: false });
  render();
}, 250);
setInterval(() => timeline.showStrip(), 2000);
