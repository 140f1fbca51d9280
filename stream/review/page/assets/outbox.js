// Changes on their way to the server. They stay in this browser's storage until the server has saved them, also when the
// page is closed or the server ends meanwhile, and are sent in their order.

import { Refused, path, post } from "./api.js";
import { mayFollow } from "./changes.js";

const PREFIX = "polypstream-unsaved";
const SHORTEST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

// Events: "saved" {entry, review, job}, "refused" {entry, text}, "conflict" {entry, review}, "state".
export class Outbox extends EventTarget {
  // `study` tells the results apart that one address of this browser may show.
  constructor(study) {
    super();
    this.shelf = new Shelf(`${PREFIX}:${study}:`);
    this.sending = null; // the entry that is on its way
    this.held = null; // {entry, review}: the reader has to decide
    this.failure = ""; // why the last attempt failed
    this.wait_ms = SHORTEST_WAIT_MS;
    addEventListener("online", () => this.send());
  }

  get entries() {
    return this.shelf.all();
  }

  // Changes of a procedure by a reader that are not saved yet.
  pending(procedure, reader) {
    return this.entries.filter((entry) => entry.procedure === procedure && entry.reader === reader);
  }

  // `revision` is that of the review which the reader saw, `before` the value that the change replaces.
  add({ procedure, reader, revision, change, before, text }) {
    this.shelf.put({ id: newId(), procedure, reader, revision, change, before, text });
    this.tell("state");
    this.send();
  }

  // Takes back the newest change of a procedure that was not sent yet; false where there is none.
  drop(procedure, reader) {
    const last = this.pending(procedure, reader).at(-1);
    if (!last || last.id === this.sending?.id || last.id === this.held?.entry.id) return false;
    this.shelf.remove(last.id);
    this.tell("state");
    return true;
  }

  // Ends a conflict: the reader's change is made on the new state all the same, or is dropped.
  resolve(keep) {
    const { entry, review } = this.held;
    this.held = null;
    if (keep) this.shelf.put({ ...entry, revision: review.revision });
    else this.shelf.remove(entry.id);
    this.tell("state");
    this.send();
  }

  async send() {
    clearTimeout(this.timer);
    if (this.sending || this.held) return;
    try {
      for (let entry = this.entries[0]; entry && !this.held; entry = this.entries[0]) {
        this.sending = entry;
        this.tell("state");
        await this.sendOne(entry);
        this.failure = "";
        this.wait_ms = SHORTEST_WAIT_MS;
      }
    } catch (error) {
      this.failure = error.message;
      this.timer = setTimeout(() => this.send(), this.wait_ms);
      this.wait_ms = Math.min(2 * this.wait_ms, LONGEST_WAIT_MS);
    } finally {
      this.sending = null;
      this.tell("state");
    }
  }

  async sendOne(entry) {
    const where = `${path("procedures", entry.procedure, "changes")}?reader=${encodeURIComponent(entry.reader)}`;
    try {
      const { review, job } = await post(where, { revision: entry.revision, change: entry.change });
      this.shelf.remove(entry.id);
      // What this browser changed afterwards was meant for the state that it made itself.
      for (const one of this.pending(entry.procedure, entry.reader)) {
        if (one.revision === entry.revision) this.shelf.put({ ...one, revision: review.revision });
      }
      this.tell("saved", { entry, review, job });
    } catch (error) {
      if (!(error instanceof Refused) || error.status >= 500) throw error; // later, then
      if (error.status === 409 && error.body?.review) this.meet(entry, error.body.review);
      else {
        this.shelf.remove(entry.id);
        this.tell("refused", { entry, text: error.message });
      }
    }
  }

  // Another browser changed the review: what it did not touch goes on, all else is asked.
  meet(entry, review) {
    if (!this.shelf.has(entry.id)) return; // another tab has sent it meanwhile
    if (mayFollow(review, entry.change, entry.before)) {
      this.shelf.put({ ...entry, revision: review.revision });
      return;
    }
    this.held = { entry, review };
    this.tell("conflict", this.held);
  }

  tell(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

let counter = 0;

// Names whose order is that in which they were made, also among several tabs.
function newId() {
  counter += 1;
  const time = String(Date.now()).padStart(15, "0");
  return `${time}-${String(counter).padStart(6, "0")}-${Math.random().toString(36).slice(2, 8)}`;
}

// Entries in the browser's storage, each under a name of its own, so that two tabs do not overwrite each other's. What
// the storage does not take (it is full, or there is none) is kept as long as the page is open.
class Shelf {
  constructor(prefix) {
    this.prefix = prefix;
    this.here = new Map();
  }

  put(entry) {
    const text = JSON.stringify(entry);
    try {
      localStorage.setItem(this.prefix + entry.id, text);
      this.here.delete(entry.id);
    } catch {
      this.here.set(entry.id, text);
    }
  }

  remove(id) {
    this.here.delete(id);
    try {
      localStorage.removeItem(this.prefix + id);
    } catch {
      // A browser without storage has nothing to remove.
    }
  }

  has(id) {
    try {
      return this.here.has(id) || localStorage.getItem(this.prefix + id) !== null;
    } catch {
      return this.here.has(id);
    }
  }

  all() {
    const found = new Map(this.here);
    try {
      for (let place = 0; place < localStorage.length; place += 1) {
        const name = localStorage.key(place);
        if (name.startsWith(this.prefix)) found.set(name.slice(this.prefix.length), localStorage.getItem(name));
      }
    } catch {
      // A browser without storage.
    }
    return [...found.entries()].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, text]) => JSON.parse(text));
  }
}
