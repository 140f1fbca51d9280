// What the page shows while the detector looks at added lesions: how far it is, and a way to have it leave them.

import { element, setText } from "./dom.js";
import { counted, percent } from "./texts.js";

export class Looking {
  constructor(reviewing) {
    this.jobs = new Map(); // progress by job
    reviewing.addEventListener("looking", ({ detail }) => this.show(detail));
    element("looking-cancel").addEventListener("click", () => {
      for (const job of this.jobs.keys()) reviewing.leaveAlone(job);
    });
  }

  show({ job, progress }) {
    if (progress === null) this.jobs.delete(job);
    else this.jobs.set(job, progress);
    const shares = [...this.jobs.values()];
    element("looking").hidden = shares.length === 0;
    if (shares.length === 0) return;
    const share = shares.reduce((sum, one) => sum + one, 0) / shares.length;
    setText(element("looking-text"), `The detector looks at ${counted(shares.length, "added lesion")}, ${percent(share)}`);
    element("looking-progress").value = share;
  }
}
