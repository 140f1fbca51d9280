// All rooms at once: a tile for each, which leads to the room's own page.

import { Connection } from "./connection.js";
import { keepHome } from "./home.js";
import { setText, stateOf, STATES } from "./states.js";
import { View } from "./view.js";

const element = (id) => document.getElementById(id);
const tiles = [];

class Tile {
  constructor({ name, path }) {
    this.root = element("tile").content.firstElementChild.cloneNode(true);
    this.root.href = path;
    this.connected = this.fresh = false;
    this.status = null;
    this.name = name;
    const part = (kind) => this.root.querySelector(`.${kind}`);
    setText(part("tile-name"), name);
    part("picture").setAttribute("aria-label", `Live picture of ${name}`);
    this.view = new View({ frame: part("frame"), picture: part("picture"), marks: part("marks") }, (index) => {
      this.connection.say({ drawn: index });
      this.fresh = this.connected;
      this.render();
    });
    this.connection = new Connection(
      {
        open: () => this.connect(true),
        lost: () => this.connect(false),
        status: (message) => {
          this.status = message.status;
          this.view.withField = this.status.detection_on;
          this.render();
        },
        marks: (message) => {
          this.view.takeMarks(message);
          this.render();
        },
        timeline: ({ entries }) => setText(this.part("count"), counted(entries.length)),
        frame: (header, jpeg) => this.view.take(header, jpeg),
      },
      path,
    );
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  connect(connected) {
    this.connected = connected;
    this.fresh = false;
    if (connected && document.hidden) this.connection.say({ watch: false });
    this.render();
  }

  look() {
    this.fresh = false;
    this.connection.say({ watch: !document.hidden });
    this.render();
  }

  render() {
    const { connected, status, fresh } = this;
    const name = stateOf({ connected, status, fresh, drawn_ms: this.view.drawn_ms });
    const state = STATES[name];
    const live = name === "running";
    this.root.dataset.state = name;
    this.root.toggleAttribute("data-found", live && this.view.drawn.boxes.length > 0);
    this.chip("state", state.chip, state.kind);
    const known = status !== null && connected && name !== "ended";
    const on = known && status.detection_on;
    this.part("detection").hidden = !known;
    this.chip("detection", on ? "Detection on" : "Detection off", on ? "good" : "bad");
    const failed = connected ? status?.recording_reason : "";
    this.part("recording").hidden = !(known && (status.recording || failed));
    this.chip("recording", failed ? "Not recording" : "Recording", failed ? "bad" : "record");
    this.part("banner").hidden = !(live && !on);
    if (live && !on) setText(this.part("banner"), `Detection off: ${status.detection_reason}`);
    this.root.querySelector(".veil").hidden = live;
    setText(this.part("title"), live ? "" : state.title);
    setText(this.part("text"), live || name === "lost" || !status ? "" : status.reason);
  }

  chip(name, text, kind) {
    setText(this.part(name), text);
    this.part(name).dataset.kind = kind;
  }
}

function counted(number) {
  if (number === 0) return "";
  return number === 1 ? "1 detection" : `${number} detections`;
}

async function start() {
  const answer = await fetch("rooms.json", { cache: "no-store" });
  const rooms = await answer.json();
  for (const room of rooms) {
    const tile = new Tile(room);
    tiles.push(tile);
    element("tiles").append(tile.root);
  }
  element("tiles").style.setProperty("--columns", Math.ceil(Math.sqrt(rooms.length)));
  setText(element("count"), `${rooms.length} rooms`);
}

keepHome();
start();
document.addEventListener("visibilitychange", () => tiles.forEach((tile) => tile.look()));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const tile = tiles[Number(event.key) - 1];
  if (tile) location.assign(tile.root.href);
});
setInterval(() => {
  element("clock").textContent = new Date().toLocaleTimeString([], { hour12: false });
  tiles.forEach((tile) => tile.render());
}, 250);
