// The page that asks for the token: leaves at once where the browser has been let in before.

import { forgetHome, lastHome } from "./home.js";

if (location.pathname !== "/") {
  // The path of a run that has ended, or of another browser.
  forgetHome();
  location.replace("/");
} else if (lastHome() !== null && location.search === "") {
  location.replace(lastHome());
}
