// Where the page lies: at a path that is new in each run. A browser that was let in finds it again.

const KEY = "polypstream-home";

export function keepHome() {
  store((storage) => storage.setItem(KEY, location.pathname));
}

// The path where the page was seen last; null when there is none.
export function lastHome() {
  const home = store((storage) => storage.getItem(KEY));
  return /^\/[\w-]+\/([\w%.~-]+\/)?$/.test(home ?? "") ? home : null;
}

export function forgetHome() {
  store((storage) => storage.removeItem(KEY));
}

// A browser may have no storage for pages; then the token has to be given again.
function store(action) {
  try {
    return action(localStorage);
  } catch {
    return null;
  }
}
