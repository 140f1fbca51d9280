// Work that takes the server longer than an answer: asked again and again how far it is.

import { get, path } from "./api.js";

const ASK_AGAIN_MS = 400;

// Resolves with the job's record when it has ended, or when nobody waits for it any more; `onTold` is called with each
// record on the way. Rejects when the server does not know it.
export async function followed(job, { onTold = () => {}, going = () => true } = {}) {
  for (;;) {
    const told = await get(path("jobs", job));
    onTold(told);
    if (told.done || !going()) return told;
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}
