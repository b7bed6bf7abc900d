// @ts-check
/** What surrounds every page: navigation, state of the connection, messages; and who may see which page. */

import { useEffect, useErrorBoundary, useLayoutEffect, useRef, useState } from "/dashboard/vendor/hooks.js";
import { ApiError } from "/client.js";
import { Acting, forgetActs, tell } from "./acts.js";
import { beginSession, can, codeOfLink, inWords, isLimited, session, signOut } from "./api.js";
import { Empty, Problem, arrival } from "./bits.js";
import { BulkDialog, forgetBulk } from "./bulk.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { connection, model, startLive } from "./live.js";
import { go, patternOf, usePlace } from "./router.js";
import { theme, timeStyle } from "./settings.js";
import { SignIn } from "./sign_in.js";
import { useStore } from "./store.js";

/** @import { Page, View } from "../pages.js" */

/** @param {Page} page */
function mayOpen({ needs, within }) {
  return can(needs) && (!isLimited() || within === true || (within === "accounts" && !session.value?.users));
}

/** @param {{ pages: Page[] }} props */
export function App({ pages }) {
  const who = useStore(session);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const seen = useRef(false);
  if (who) seen.current = true;

  const start = () => {
    setError(null);
    beginSession().catch((thrown) => (thrown instanceof ApiError && thrown.status === 401 ? session.set(null) : setError(thrown)));
  };
  useEffect(() => {
    start();
    // A link that is opened where the page is already loads nothing.
    const follow = () => void (codeOfLink() && start());
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  useLayoutEffect(() => {
    if (who !== null) return;
    forgetActs();
    forgetBulk();
  }, [who]);
  useEffect(() => (who ? startLive() : undefined), [who?.name, who?.role]);

  if (error) return html`<main class="alone"><h1>copilot-socket</h1><${Problem} error=${error} retry=${start} /></main>`;
  if (who === undefined) return html`<p class="boot" role="status">Loading copilot-socket…</p>`;
  // What was shown to somebody goes with their session; whoever signs in finds the page at the same address.
  return html`
    ${who === null ? html`<${SignIn} again=${seen.current} />` : html`<${Shell} key=${who.name} pages=${pages} />`}
    <${Acting} /><${BulkDialog} />`;
}

/** @param {{ pages: Page[] }} props */
function Shell({ pages }) {
  const { path, params } = usePlace();
  const pattern = patternOf(path);
  const page = pages.find((each) => each.pattern === pattern);
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const first = useRef(true);
  const menu = useRef(/** @type {HTMLDetailsElement | null} */ (null));

  useEffect(() => {
    const name = Object.values(params)[0];
    document.title = `${name ? `${page?.title} ${name}` : page?.title ?? "No such page"} · copilot-socket`;
    if (!first.current) {
      window.scrollTo(0, 0);
      arrival.within = true;
      main.current?.querySelector("h1")?.focus();
      if (menu.current) menu.current.open = false;
    }
    first.current = false;
  }, [path]);

  return html`
    <a class="skip" href="#main">Skip to the page</a>
    <header class="top">
      <a class="brand" href="/"><img src="/dashboard/icon.svg" alt="" width="22" height="22" /> copilot-socket</a>
      <${Live} />
      <span class="grow"></span>
      <${Preferences} />
    </header>
    <details class="menu" ref=${menu}><summary><${Icon} name="menu" /> ${page?.title ?? "Menu"}</summary><${Navigation} pages=${pages} pattern=${pattern} label="Pages, in the menu" /></details>
    <div class="frame">
      <aside class="side"><${Navigation} pages=${pages} pattern=${pattern} label="Pages" /></aside>
      <main id="main" ref=${main} tabindex="-1"><${Guarded} key=${path}>${shown(page, params)}<//></main>
    </div>`;
}

/** @param {Page | undefined} page @param {Record<string, string>} params */
function shown(page, params) {
  if (!page) return html`<h1 tabindex="-1">No such page</h1><${Empty} title="There is no page at this address.">Go to the <a href="/">overview</a>.<//>`;
  if (!can(page.needs)) {
    return html`<h1 tabindex="-1">${page.title}</h1><${Empty} title=${`Your token may not see this: it needs the role ${page.needs}.`} command=${`copilot-socket tokens add NAME --role ${page.needs}`} />`;
  }
  if (!mayOpen(page)) {
    if (page.pattern === "/") queueMicrotask(() => go("/jobs", { replace: true }));
    return html`<h1 tabindex="-1">${page.title}</h1><${Empty} title="Your token is limited to some accounts or users, and this page is about all.">See <a href="/jobs">their jobs</a>.<//>`;
  }
  return html`<${Opened} page=${page} params=${params} />`;
}

/** Those that were opened before. @type {Map<Page, View>} */
const views = new Map();

/** @param {{ page: Page, params: Record<string, string> }} props */
function Opened({ page, params }) {
  const [, draw] = useState(0);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const view = views.get(page);
  useEffect(() => {
    if (view) return;
    const done = (/** @type {View} */ loaded) => {
      views.set(page, loaded);
      draw((count) => count + 1);
    };
    page.load().then(done, setError);
  }, [page]);
  if (view) return html`<${view} ...${params} />`;
  // Browsers remember that a module could not be loaded.
  return html`<h1 tabindex="-1">${page.title}</h1>${error ? html`<${Problem} error=${error} retry=${() => location.reload()} />` : html`<p class="loading" role="status">Loading…</p>`}`;
}

/** A page that fails leaves the others alone. @param {{ children: any }} props */
function Guarded({ children }) {
  const [error, reset] = useErrorBoundary((thrown) => console.error(thrown));
  if (error) return html`<h1 tabindex="-1">This page has failed</h1><${Problem} error=${error} retry=${reset} />`;
  return children;
}

/** @param {{ pages: Page[], pattern: string | null, label: string }} props */
function Navigation({ pages, pattern, label }) {
  const urgent = useStore(model, ({ overview }) => overview?.attention.length ?? 0);
  const part = pattern && `/${pattern.split("/")[1]}`;
  return html`<nav aria-label=${label}><ul>
    ${pages.filter((page) => page.icon && mayOpen(page)).map(({ pattern: to, title, icon }) => html`<li><a href=${to} aria-current=${to === part ? "page" : undefined}>
      <${Icon} name=${icon} /> ${title}${to === "/" && urgent ? html`<span class="bubble" aria-label=${`${urgent} need a person`}>${urgent}</span>` : null}</a></li>`)}
  </ul></nav>`;
}

/** Whether what is shown is of now. */
function Live() {
  const { state, error } = useStore(connection);
  const away = useStore(model, ({ overview }) => overview?.database.connected === false);
  if (state === "open" && away) return html`<span class="live is-closed" role="status"><span class="dot"></span> Database unavailable</span>`;
  if (state === "open") return html`<span class="live is-open" role="status"><span class="dot"></span> Live</span>`;
  const text = state === "connecting" ? "Connecting…"
    : state === "refused" ? "No live updates"
    : error instanceof ApiError ? "Database or node unavailable; trying again…" : "Disconnected; trying again…";
  return html`<span class="live is-${state}" role="status"><span class="dot"></span> ${text}</span>`;
}

/** Sign out; where that fails the session goes on, and whoever leaves the machine has to know. */
function leave() {
  signOut().catch((error) => session.value && tell({ state: "failed", text: `You are still signed in: ${inWords(error)}` }));
}

function Preferences() {
  const who = useStore(session);
  const times = useStore(timeStyle);
  const look = useStore(theme);
  return html`<details class="preferences"><summary><span class="who">${who?.name.replace(/^token:/, "") ?? "Signed out"}</span> <span class="hint">${who?.role}</span> <${Icon} name="more" /></summary>
    <div class="panel">
      <label>Times <select onChange=${(/** @type {any} */ event) => timeStyle.set(event.target.value)}>
        ${[["relative", "3 min ago"], ["local", "in your zone"], ["utc", "in UTC"]].map(([value, text]) => html`<option value=${value} selected=${value === times}>${text}</option>`)}</select></label>
      <label>Theme <select onChange=${(/** @type {any} */ event) => theme.set(event.target.value)}>
        ${[["system", "as the system"], ["light", "light"], ["dark", "dark"]].map(([value, text]) => html`<option value=${value} selected=${value === look}>${text}</option>`)}</select></label>
      ${who?.accounts ? html`<p class="hint">Limited to the accounts ${who.accounts.join(", ")}</p>` : null}
      ${who?.users ? html`<p class="hint">Limited to the users ${who.users.join(", ")}</p>` : null}
      <button type="button" onClick=${leave}>Sign out</button>
    </div>
  </details>`;
}
