// Pictures that the server cuts out of recordings are fetched a few at a time: a browser has six connections to a
// server, and what is judged must not wait behind pictures.

const AT_ONCE = 2;
const waiting = new Set(); // <img> elements, in the order in which they were asked for
let loading = 0;

export function showPicture(image, address) {
  if (image.dataset.address === address) return;
  image.dataset.address = address;
  if (image.dataset.loading) return; // looked at again when the address before has come
  waiting.add(image);
  setTimeout(next); // when the image stands in the page
}

function next() {
  for (const image of waiting) {
    if (loading >= AT_ONCE) return;
    waiting.delete(image);
    if (image.isConnected) load(image);
  }
}

function load(image) {
  const { address } = image.dataset;
  loading += 1;
  image.dataset.loading = "true";
  image.onload = image.onerror = () => {
    loading -= 1;
    delete image.dataset.loading;
    image.onload = image.onerror = null;
    if (image.dataset.address !== address) waiting.add(image);
    next();
  };
  image.src = address;
}
