// The review page: who reads, which view is shown, what is saved, and what the keys do.

import { get } from "./api.js";
import { element, make, setAttribute, setText } from "./dom.js";
import { FiguresView } from "./figures.js";
import { keepHome } from "./home.js";
import { listen, showHelp, writeTitles } from "./keys.js";
import { Opening } from "./opening.js";
import { Outbox } from "./outbox.js";
import { ProcedureView } from "./procedure.js";
import { Reviewing } from "./reviewing.js";
import { ReadersView } from "./readers.js";
import { StartView } from "./start.js";
import { counted } from "./texts.js";

const READER_KEY = "polypstream-reader";
const TOAST_MS = 3500;
const REFRESH_MS = 15000; // between looks for what another browser changed
const VIEWS = ["start", "procedure", "figures", "readers", "missing"];

keepHome();
writeTitles();
const [study, lists] = await Promise.all([get("api/study"), get("api/lists")]);
const outbox = new Outbox(study.id ?? study.title);
const reviewing = new Reviewing(outbox, lists);
let reader = remembered();
let view = "";
let toastTimer = 0;

const procedure = new ProcedureView({ reviewing, lists, say, aloud });
const start = new StartView({ outbox, say });
const figures = new FiguresView({ blind: study.blind });
const readers = new ReadersView({ lists });
new Opening({ say, onOpened });

// Who waits on the list for the one thing that was opened is led to it.
function onOpened(name, alone) {
  if (view !== "start") return;
  if (alone) location.hash = `#p/${encodeURIComponent(name)}`;
  else start.load();
}


// A sentence that is shown for a moment and read out.
function say(text) {
  clearTimeout(toastTimer);
  setText(element("toast"), text);
  element("toast").classList.add("shown");
  toastTimer = setTimeout(() => {
    element("toast").classList.remove("shown");
    setText(element("toast"), "");
  }, TOAST_MS);
}

function aloud(text) {
  setText(element("aloud"), text);
}

// The view that the address names: `#`, `#p/NAME`, `#figures`, `#readers`.
async function route() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  if (!reader) reader = await askReader();
  if (view === "procedure") procedure.close();
  start.leave();
  try {
    if (name === "") await enter("start", "Procedures", () => start.enter(reader));
    else if (name === "p" && rest.length) await openProcedure(decodeURIComponent(rest.join("/")));
    else if (name === "figures") await enter("figures", "Figures", () => figures.enter(reader));
    else if (name === "readers") await enter("readers", "Readers", () => readers.enter(reader));
    else throw new Error("This page has no such view.");
  } catch (error) {
    showMissing(error.message);
  }
}

async function openProcedure(name) {
  await enter("procedure", name, () => procedure.open(name, reader));
}

async function enter(name, title, open) {
  showView(name, title);
  await open();
}

function showView(name, title) {
  view = name;
  for (const one of VIEWS) element(one).hidden = one !== name;
  document.body.dataset.view = name;
  document.title = `${title} – polypstream review`;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  aloud(title);
}

function showMissing(text) {
  showView("missing", "Nothing here");
  setText(element("missing-text"), text);
}

// Who reads: kept in this browser, asked at the first visit.
function remembered() {
  try {
    const name = localStorage.getItem(READER_KEY) ?? "";
    return mayRead(name) ? name : "";
  } catch {
    return "";
  }
}

function mayRead(name) {
  return !study.fixed || study.readers.includes(name);
}

// Where the server takes certain readers only, others are told so.
function askReader() {
  if (study.fixed && study.readers.length === 1) {
    showReader(study.readers[0]);
    return reader;
  }
  const dialog = element("who");
  const field = element("who-name");
  field.value = reader;
  element("who-names").replaceChildren(...study.readers.map((name) => make("option", { value: name })));
  return new Promise((resolve) => {
    element("who-form").onsubmit = (event) => {
      const name = field.value.trim();
      const fits = name !== "" && mayRead(name);
      element("who-fault").hidden = fits;
      setText(element("who-fault"), study.fixed ? `Readers are here: ${study.readers.join(", ")}` : "A name has a letter");
      if (!fits) {
        event.preventDefault();
        return;
      }
      showReader(name);
      resolve(name);
    };
    dialog.oncancel = (event) => reader || event.preventDefault();
    dialog.onclose = () => resolve(reader);
    dialog.showModal();
  });
}

function showReader(name) {
  reader = name;
  setText(element("reader-name"), name || "–");
  try {
    localStorage.setItem(READER_KEY, name);
  } catch {
    // A browser without storage asks again the next time.
  }
}

// What is saved, and what is not.
function showSaving() {
  const { failure, held, entries } = outbox;
  const waiting = entries.length;
  const chip = element("saved");
  const [text, kind] = !waiting
    ? ["Saved", "good"]
    : failure || held
      ? [`Not saved: ${counted(waiting, "change")}`, "bad"]
      : ["Saving", "wait"];
  setText(chip, text);
  chip.dataset.kind = kind;
  element("unsaved").hidden = !failure || held !== null;
  if (failure) {
    setText(element("unsaved-text"), `Not saved: ${failure}. ${counted(waiting, "change")} stay in this browser and are sent again.`);
  }
  element("conflict").hidden = held === null;
}

function showConflict({ entry }) {
  setText(
    element("conflict-text"),
    `Not saved: another browser changed ${entry.procedure} meanwhile, and you see its new state. Yours was: ${entry.text}.`,
  );
}

outbox.addEventListener("state", showSaving);
outbox.addEventListener("conflict", ({ detail }) => showConflict(detail));
outbox.addEventListener("refused", ({ detail: { entry, text } }) => {
  setText(element("refused-text"), `Not saved: ${entry.text}. ${text}`);
  element("refused").hidden = false;
});
element("conflict-keep").addEventListener("click", () => outbox.resolve(true));
element("conflict-drop").addEventListener("click", () => outbox.resolve(false));
element("unsaved-again").addEventListener("click", () => outbox.send());
element("refused-close").addEventListener("click", () => (element("refused").hidden = true));

element("reader").addEventListener("click", async () => {
  const before = reader;
  if ((await askReader()) !== before) route();
});
element("skip").addEventListener("click", (event) => {
  event.preventDefault();
  element("content").focus();
});
addEventListener("hashchange", route);
addEventListener("beforeunload", (event) => {
  if (outbox.shelf.here.size) event.preventDefault(); // what no storage keeps would be lost
});
document.addEventListener("visibilitychange", () => !document.hidden && refresh());
setInterval(() => !document.hidden && refresh(), REFRESH_MS);

function refresh() {
  if (view === "procedure") reviewing.refresh().catch(() => {}); // said when something is to be saved
}

async function neighbour(way) {
  const name = await start.neighbour(reviewing.name, way).catch(() => null);
  if (name === null) say(way > 0 ? "This is the last procedure" : "This is the first procedure");
  else location.hash = `#p/${encodeURIComponent(name)}`;
}

const actions = {
  ...procedure.actions,
  help: () => showHelp(view),
  leave: () => procedure.editing.leave(),
  home: () => (location.hash = "#"),
  nextProcedure: () => neighbour(1),
  previousProcedure: () => neighbour(-1),
  search: () => element("search").focus(),
  nextRow: () => start.moveRow(1),
  previousRow: () => start.moveRow(-1),
};
listen(actions, () => view);
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-action]");
  if (button) actions[button.dataset.action]();
});

showReader(reader);
showSaving();
outbox.send(); // what an earlier visit left unsaved
route();
