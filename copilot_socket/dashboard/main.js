// @ts-check
/** Where the dashboard begins. */

import { render } from "/dashboard/vendor/preact.js";
import { PAGES } from "./pages.js";
import { App } from "./ui/app.js";
import { html } from "./ui/html.js";
import { startRouter } from "./ui/router.js";
import { applyTheme } from "./ui/settings.js";

applyTheme();
startRouter(PAGES.map(({ pattern }) => pattern));
const root = /** @type {HTMLElement} */ (document.getElementById("app"));
root.textContent = "";
render(html`<${App} pages=${PAGES} />`, root);
