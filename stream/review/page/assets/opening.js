// Recordings and pictures that are dropped on the page, or named by a path: sent, looked at, and opened.

import { path, post, remove, uploadPictures, uploadRecording } from "./api.js";
import { element, make, setAttribute, setText, showList } from "./dom.js";
import { followed } from "./jobs.js";
import { counted, percent } from "./texts.js";

const PICTURES = /\.(jpe?g|png|bmp|tiff?|webp|avif|heic|heif|jp2|gif)$/i; // where the browser does not know the kind
const LEFT_OUT = /^(\.|Thumbs\.db$|desktop\.ini$)/i; // that programs leave in folders

export class Opening {
  // `onOpened(procedure, alone)` is called when something has become a procedure; `alone`: nothing else was opened with it.
  constructor({ onOpened, say }) {
    Object.assign(this, { onOpened, say, jobs: [], together: 0 });
    const drop = element("drop");
    element("choose-files").addEventListener("click", () => element("files").click());
    element("files").addEventListener("change", (event) => this.take(event.target.files));
    element("opening").addEventListener("submit", (event) => {
      event.preventDefault();
      const named = element("path").value.trim();
      if (named) this.begin(named, () => post("api/open", { path: named }));
    });
    for (const type of ["dragenter", "dragover"]) drop.addEventListener(type, (event) => this.over(event, true));
    for (const type of ["dragleave", "drop"]) drop.addEventListener(type, (event) => this.over(event, false));
    drop.addEventListener("drop", async (event) => this.take(await filesOf(event.dataTransfer)));
    // A file that misses its place would take the page's own.
    for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());
  }

  over(event, inside) {
    event.preventDefault();
    element("drop").classList.toggle("over", inside);
  }

  // Pictures that come together are one procedure; each recording is one.
  async take(files) {
    const chosen = [...files]; // the list goes when the field is emptied
    element("files").value = "";
    const pictures = chosen.filter((file) => file.type.startsWith("image/") || PICTURES.test(file.name));
    if (pictures.length) {
      const name = pictures.length === 1 ? pictures[0].name : counted(pictures.length, "picture");
      await this.begin(name, (job) => uploadPictures(pictures, (share) => this.sent(job, share)));
    }
    for (const file of chosen.filter((one) => !pictures.includes(one))) {
      await this.begin(file.name, (job) => uploadRecording(file, (share) => this.sent(job, share)));
    }
  }

  sent(job, share) {
    Object.assign(job, { text: "Sending", progress: share });
    this.show();
  }

  // Starts a job and goes on to ask how far it is; resolves when the server has taken it.
  async begin(name, start) {
    const job = { number: this.jobs.length, name, text: "Sending", progress: 0, done: false, error: null, procedure: null };
    this.together = this.jobs.every((one) => one.done) ? 1 : this.together + 1;
    this.jobs.push(job);
    this.show();
    try {
      job.id = (await start(job)).job;
      this.follow(job);
    } catch (error) {
      this.fail(job, error);
    }
  }

  async follow(job) {
    try {
      await followed(job.id, { onTold: (told) => this.told(job, told) });
    } catch (error) {
      this.fail(job, error);
      return;
    }
    this.say(job.error ? `${job.name}: ${job.error}` : `${job.name} is ready`);
    if (job.procedure) this.onOpened(job.procedure, this.together === 1);
  }

  told(job, told) {
    Object.assign(job, told);
    this.show();
  }

  async cancel(job) {
    try {
      await remove(path("jobs", job.id));
    } catch (error) {
      this.say(`${job.name}: ${error.message}`);
    }
  }

  fail(job, error) {
    Object.assign(job, { done: true, error: error.message });
    this.say(`${job.name}: ${error.message}`);
    this.show();
  }

  show() {
    showList(element("jobs"), this.jobs, {
      key: (job) => job.number,
      create: (job) =>
        make(
          "li",
          {},
          make("b"),
          make("progress", { max: 1 }),
          make("span", { class: "soft" }),
          make("a", { text: "Open" }),
          make("button", { type: "button", class: "small", text: "Cancel", onclick: () => this.cancel(job) }),
        ),
      update: showJob,
    });
  }
}

// The files of a drop; of a folder those that lie in it.
async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((one) => one.isDirectory)) return [...transfer.files];
  const files = await Promise.all(entries.map(async (one) => (one.isDirectory ? listed(one) : [one])));
  const plain = files.flat().filter((one) => one.isFile && !LEFT_OUT.test(one.name));
  return Promise.all(plain.map((one) => new Promise((resolve, reject) => one.file(resolve, reject))));
}

// A browser hands out a folder's entries in pieces, the last of them empty.
async function listed(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const piece = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!piece.length) return found;
    found.push(...piece);
  }
}

function showJob(item, { id, name, text, progress, done, error, procedure }) {
  const [title, bar, about, link, cancel] = item.children;
  setText(title, name);
  setAttribute(bar, "aria-label", `Progress of ${name}`);
  bar.hidden = done;
  bar.value = progress;
  setText(about, error ?? (done ? "Ready" : `${text}, ${percent(progress)}`));
  about.classList.toggle("fault", error !== null);
  link.hidden = !procedure;
  if (procedure) link.href = `#p/${encodeURIComponent(procedure)}`;
  cancel.hidden = done || id === undefined;
}
