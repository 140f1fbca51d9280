// Recordings that are dropped on the page, or named by a path: sent, looked at, and opened.

import { get, path, post, remove, upload } from "./api.js";
import { element, make, setAttribute, setText, showList } from "./dom.js";
import { percent } from "./texts.js";

const ASK_AGAIN_MS = 600;

export class Opening {
  // `onOpened(procedure)` is called when something has become a procedure.
  constructor({ onOpened, say }) {
    Object.assign(this, { onOpened, say, jobs: [] });
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
    drop.addEventListener("drop", (event) => this.take(event.dataTransfer.files));
    // A file that misses its place would take the page's own.
    for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());
  }

  over(event, inside) {
    event.preventDefault();
    element("drop").classList.toggle("over", inside);
  }

  async take(files) {
    const chosen = [...files]; // the list goes when the field is emptied
    element("files").value = "";
    for (const file of chosen) await this.begin(file.name, (job) => upload(file, (share) => this.sent(job, share)));
  }

  sent(job, share) {
    Object.assign(job, { text: "Sending", progress: share });
    this.show();
  }

  // Starts a job and goes on to ask how far it is; resolves when the server has taken it.
  async begin(name, start) {
    const job = { number: this.jobs.length, name, text: "Sending", progress: 0, done: false, error: null, procedure: null };
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
    while (!job.done) {
      try {
        Object.assign(job, await get(path("jobs", job.id)));
      } catch (error) {
        this.fail(job, error);
        return;
      }
      this.show();
      if (!job.done) await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
    this.say(job.error ? `${job.name}: ${job.error}` : `${job.name} is ready`);
    if (job.procedure) this.onOpened(job.procedure);
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
