// All keys of the page: one table that the handler and the help read.
//
// Letters go by what is written on the key, and by its place where the keyboard writes other scripts. In a field of text
// keys write, and Escape leaves it; on all other controls Space, Enter and the arrows are the control's own.

import { element, make } from "./dom.js";

// `view` is where a key works: "procedure", "start", or "" everywhere. `again` says that it goes on while it is held.
export const KEYS = [
  { group: "Playing", view: "procedure", rows: [
    { keys: ["Space"], action: "play", text: "Play or pause" },
    { keys: ["ArrowLeft"], action: "back", text: "1 second back", again: true },
    { keys: ["ArrowRight"], action: "forward", text: "1 second forward", again: true },
    { keys: ["Shift+ArrowLeft"], action: "farBack", text: "10 seconds back", again: true },
    { keys: ["Shift+ArrowRight"], action: "farForward", text: "10 seconds forward", again: true },
    { keys: [","], action: "frameBack", text: "One frame back", again: true },
    { keys: ["."], action: "frameForward", text: "One frame forward", again: true },
    { keys: ["Home"], action: "toStart", text: "To the start" },
    { keys: ["End"], action: "toEnd", text: "To the end" },
    { keys: ["<"], action: "slower", text: "Slower" },
    { keys: [">"], action: "faster", text: "Faster" },
    { keys: ["V"], action: "marks", text: "Show or hide the marks" },
    { keys: ["Z"], action: "zoomIn", text: "Larger picture, around the finding's box" },
    { keys: ["Shift+Z"], action: "zoomOut", text: "The whole picture" },
  ] },
  { group: "Findings and time", view: "procedure", rows: [
    { keys: ["N"], action: "next", text: "Next finding", again: true },
    { keys: ["B"], action: "previous", text: "Finding before", again: true },
    { keys: ["U"], action: "nextOpen", text: "Next finding that is not judged" },
    { keys: ["+"], action: "timeIn", text: "Timeline: closer", again: true },
    { keys: ["-"], action: "timeOut", text: "Timeline: wider", again: true },
    { keys: ["0"], action: "timeAll", text: "Timeline: everything" },
    { keys: ["T"], action: "turningPoint", text: "Turning point is here" },
    { keys: ["Shift+T"], action: "noTurningPoint", text: "No turning point" },
  ] },
  { group: "Judging the finding", view: "procedure", rows: [
    { keys: ["R"], action: "right", text: "Right" },
    { keys: ["W"], action: "wrong", text: "Wrong, and its cause" },
    { keys: ["Q"], action: "unsure", text: "Not sure" },
    { keys: ["G"], action: "goThrough", text: "Ask everything, one after the other; a number answers, 0 takes back" },
    { keys: ["C"], action: "cause", text: "Cause of a wrong one" },
    { keys: ["K"], action: "kind", text: "Kind" },
    { keys: ["S"], action: "size", text: "Size" },
    { keys: ["P"], action: "paris", text: "Paris" },
    { keys: ["I"], action: "nice", text: "NICE" },
    { keys: ["L"], action: "place", text: "Place" },
    { keys: ["O"], action: "note", text: "Note; Escape leaves it" },
  ] },
  { group: "Boxes and lesions", view: "procedure", rows: [
    { keys: ["D"], action: "draw", text: "Draw the finding's box on this frame" },
    { keys: ["M"], action: "moveBox", text: "Move the finding's box by the arrows, with Shift its size; Enter takes it" },
    { keys: ["E"], action: "fill", text: "Fill in boxes between those drawn around here, or in the range" },
    { keys: ["Delete"], action: "deleteBoxes", text: "Delete the box on this frame, or those in the range" },
    { keys: ["["], action: "rangeStart", text: "Range starts here" },
    { keys: ["]"], action: "rangeEnd", text: "Range ends here" },
    { keys: ["A"], action: "add", text: "Add a missed lesion: a box here, and one on another frame" },
    { keys: ["J"], action: "join", text: "Join with another finding" },
    { keys: ["X"], action: "split", text: "Split the finding at this frame" },
    { keys: ["Shift+Delete"], action: "remove", text: "Remove an added lesion" },
  ] },
  { group: "Procedure", view: "procedure", rows: [
    { keys: ["Y"], action: "bbps", text: "Boston scale (BBPS): three numbers" },
    { keys: ["Shift+D"], action: "done", text: "Done, or in review again" },
    { keys: ["Ctrl+Z"], action: "undo", text: "Undo", again: true },
    { keys: ["Ctrl+Y", "Ctrl+Shift+Z"], action: "redo", text: "Redo", again: true },
    { keys: ["Shift+N"], action: "nextProcedure", text: "Next procedure" },
    { keys: ["Shift+B"], action: "previousProcedure", text: "Procedure before" },
    { keys: ["H"], action: "home", text: "To the list of procedures" },
  ] },
  { group: "List", view: "start", rows: [
    { keys: ["/"], action: "search", text: "Search" },
    { keys: ["N"], action: "nextRow", text: "Next procedure; Enter opens it", again: true },
    { keys: ["B"], action: "previousRow", text: "Procedure before", again: true },
  ] },
  { group: "Everywhere", view: "", rows: [
    { keys: ["?"], action: "help", text: "These keys" },
    { keys: ["Escape"], action: "leave", text: "Leave a field, a question, or what was begun" },
  ] },
];

const NAMES = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Delete: "Del",
  Escape: "Esc",
};
const TEXT_INPUTS = ["text", "search", "number", "email", "password", "url"];
// What a control does with keys of its own.
const OWN_KEYS = ["Space", "Enter", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End"];

// How a key is written, as a reader finds it on the keyboard.
export function written(key) {
  return key
    .split(/\+(?=.)/)
    .map((part) => NAMES[part] ?? part)
    .join(" ");
}

// The name that the table gives the key of an event.
function nameOf(event) {
  let key = event.key === " " ? "Space" : event.key;
  let shift = event.shiftKey;
  if (key.length === 1 && key.toUpperCase() === key.toLowerCase()) {
    // A sign: Shift is part of writing it. Other scripts have no cases, or write letters of their own.
    if (key.charCodeAt(0) < 128) shift = false;
    else if (event.code.startsWith("Key")) key = event.code.slice(3);
  } else if (key.length === 1) {
    key = key.charCodeAt(0) < 128 ? key.toUpperCase() : event.code.replace(/^Key/, "");
  }
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${key}`;
}

function writesText(target) {
  if (target.isContentEditable || target.tagName === "TEXTAREA") return true;
  return target.tagName === "INPUT" && TEXT_INPUTS.includes(target.type);
}

function isControl(target) {
  return target.closest("button, a[href], select, input, summary, [role=slider]") !== null;
}

// Calls `actions[name]()` for keys of the view that `viewNow()` names.
export function listen(actions, viewNow) {
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const name = nameOf(event);
    // What had the focus in a question keeps it for a moment after the question is closed.
    const target = event.target.closest("dialog") ? document.body : event.target;
    if (writesText(target)) {
      if (name === "Escape") target.blur();
      return;
    }
    if (isControl(target) && OWN_KEYS.includes(name) && target.getAttribute("role") !== "slider") return;
    const row = find(name, viewNow());
    if (!row || (event.repeat && !row.again) || !actions[row.action]) return;
    event.preventDefault(); // the browser's own use of the key, such as choosing an entry by its first letter
    actions[row.action]();
  });
  // A button that was clicked gives the focus back, so that Space plays again.
  document.addEventListener("click", (event) => {
    if (event.detail > 0) event.target.closest?.("button")?.blur();
  });
}

function find(name, view) {
  for (const { view: where, rows } of KEYS) {
    if (where !== "" && where !== view) continue;
    const row = rows.find(({ keys }) => keys.includes(name));
    if (row) return row;
  }
  return null;
}

// The key of an action, for titles of buttons.
export function keyOf(action) {
  const row = KEYS.flatMap(({ rows }) => rows).find((one) => one.action === action);
  return written(row.keys[0]);
}

// Writes the keys of buttons into their titles; a button's `data-action` names what it does.
export function writeTitles() {
  for (const button of document.querySelectorAll("[data-action]")) {
    const row = KEYS.flatMap(({ rows }) => rows).find((one) => one.action === button.dataset.action);
    button.title = `${row.text} (${written(row.keys[0])})`;
    button.setAttribute("aria-keyshortcuts", row.keys.map((key) => key.replace("Ctrl", "Control")).join(" "));
  }
}

export function showHelp(view) {
  const groups = KEYS.filter((group) => group.view === "" || group.view === view);
  element("help-groups").replaceChildren(
    ...groups.map(({ group, rows }) =>
      make("section", {}, make("h3", { text: group }), make("dl", {}, ...rows.map(helpRow))),
    ),
  );
  element("help").showModal();
}

function helpRow({ keys, text }) {
  const caps = keys.map((key) => key.split(/\+(?=.)/).map((part) => make("kbd", { text: NAMES[part] ?? part })));
  return make("div", {}, make("dt", {}, ...caps.map((parts) => make("span", {}, ...parts))), make("dd", { text }));
}
