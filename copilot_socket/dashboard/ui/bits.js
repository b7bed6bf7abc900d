// @ts-check
/** The small parts that pages are made of. */

import { useEffect, useRef, useState } from "/dashboard/vendor/hooks.js";
import { ApiError } from "/client.js";
import { jobsAt, pathOf } from "../core/addresses.js";
import { STATES, share, subject } from "../core/jobs.js";
import { count, percent } from "../core/numbers.js";
import { absolute, duration, relative, since, until } from "../core/times.js";
import { inWords, now } from "./api.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { usePlace } from "./router.js";
import { timeStyle } from "./settings.js";
import { Store, useStore } from "./store.js";

/** @import { ErrorSample } from "../../web/types.d.ts" */
/** @import { Children } from "./html.js" */

/** Milliseconds since 1970, in steps. */
const clock = new Store(now());
setInterval(() => document.hidden || clock.set(now()), 5_000);

/** Milliseconds since 1970; components that use it are drawn every few seconds. */
export function useNow() {
  useStore(clock);
  return now();
}

/** A time, as the reader wants it; the other forms are its title. @param {{ at: string | number | null | undefined, none?: string }} props */
export function Time({ at, none = "–" }) {
  const style = useStore(timeStyle);
  const now = useNow();
  if (at === null || at === undefined) return html`<span class="faint">${none}</span>`;
  const date = new Date(at);
  const forms = { relative: relative(date, now), local: absolute(date), utc: absolute(date, "UTC") };
  const title = style === "relative" ? `${forms.local} (${forms.utc})` : `${forms.relative} (${style === "utc" ? forms.local : forms.utc})`;
  return html`<time datetime=${date.toISOString()} title=${title}>${forms[style] ?? forms.relative}</time>`;
}

/** A time within a sentence, after what is so since then. @param {{ at: string | number }} props */
export function Since({ at }) {
  return html`<${Span} at=${at} words=${since} />`;
}

/** A time within a sentence, after what is so until then. @param {{ at: string | number }} props */
export function Until({ at }) {
  return html`<${Span} at=${at} words=${until} />`;
}

/** @param {{ at: string | number, words: typeof since }} props */
function Span({ at, words }) {
  const style = useStore(timeStyle);
  const now = useNow();
  const date = absolute(at, style === "utc" ? "UTC" : undefined);
  return html`<time datetime=${new Date(at).toISOString()} title=${style === "relative" ? date : relative(at, now)}>${words(at, now, style === "relative" ? null : date)}</time>`;
}

const TIME = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** Words of the server, with the times in them in the reader's zone: an age would not fit into its sentences. @param {{ text: string }} props */
export function Sentence({ text }) {
  const zone = useStore(timeStyle) === "utc" ? "UTC" : undefined;
  const now = useNow();
  const time = (/** @type {string} */ at) => html`<time datetime=${at} title=${relative(at, now)}>${absolute(at, zone)}</time>`;
  return html`${text.split(TIME).map((part, index) => (index % 2 ? time(part) : part))}`;
}

/** How long ago something began, growing. @param {{ since: string | null | undefined }} props */
export function Elapsed({ since }) {
  const now = useNow();
  if (!since) return html`<span class="faint">–</span>`;
  return html`<span title=${absolute(since)}>${duration(Math.max(0, Math.round((now - new Date(since).getTime()) / 1000)))}</span>`;
}

/** A state, by colour and word. @param {{ value: string, kind?: string }} props *kind*: the colour's name, if not the value. */
export function Badge({ value, kind = value }) {
  return html`<span class="badge ${`is-${kind.replaceAll(" ", "_")}`}">${value.replaceAll("_", " ")}</span>`;
}

/** A job by what it is about. @param {{ job: { id: string, command: string, full_path: string | null, branch?: string | null } }} props */
export function JobLink({ job }) {
  return html`<a href=${pathOf("/jobs", job.id)}>${subject(job)}</a>`;
}

/** A link to one of a list's things. @param {{ to: string, id: string | null | undefined, children?: Children }} props */
export function Ref({ to, id, children }) {
  if (id === null || id === undefined) return html`<span class="faint">–</span>`;
  return html`<a href=${pathOf(to, id)}>${children ?? id}</a>`;
}

/** How far a job is, or what came of it. @param {{ progress: Record<string, any> | null | undefined }} props */
export function Progress({ progress }) {
  const { processed, total, finalCounts } = progress ?? {};
  // What crawlers report is shown as text, or not at all: as an element, an object would break the page.
  const stage = typeof progress?.stage === "string" ? progress.stage : "–";
  if (finalCounts) return html`<span>${Object.entries(finalCounts).map(([what, number]) => `${count(Number(number))} ${what}`).join(", ") || "nothing"}</span>`;
  if (typeof processed !== "number") return html`<span class="faint">${stage}</span>`;
  const done = share(progress);
  const text = done === null ? `${count(processed)} ${progress?.entityType ?? "so far"}` : `${count(processed)} of ${count(total)}`;
  return html`<span class="progress">
    ${done === null ? null : html`<progress value=${done} max="1" aria-label="Progress"></progress>`}
    <span>${text}${done === null ? "" : ` (${percent(done)})`}</span>
  </span>`;
}

/** Counts of jobs by state, each a link to these. @param {{ counts: Record<string, number>, filter: Record<string, string>, shown?: (count: number) => string }} props */
export function JobCounts({ counts, filter, shown = count }) {
  const present = STATES.filter((status) => counts[status]);
  if (present.length === 0) return html`<span class="faint">none</span>`;
  return html`<span class="counts">${present.map((status) => html`<a key=${status} href=${jobsAt({ ...filter, status })}><${Badge} value=${status} /> ${shown(counts[status])}</a>`)}</span>`;
}

/** What is shown instead of rows: what to do next. @param {{ title: string, command?: string, children?: Children }} props */
export function Empty({ title, command, children }) {
  return html`<div class="empty">
    <p><strong>${title}</strong></p>
    ${children ? html`<p>${children}</p>` : null}
    ${command ? html`<p><${Copyable} text=${command} /></p>` : null}
  </div>`;
}

/** A failure, which leaves the rest of the page as it is. @param {{ error: unknown, retry?: () => void }} props */
export function Problem({ error, retry }) {
  if (!error) return null;
  return html`<div class="notice is-failed" role="alert">
    <${Icon} name="warning" /><span>${inWords(error)}</span>
    ${retry ? html`<button type="button" class="quiet" onClick=${retry}>Try again</button>` : null}
  </div>`;
}

/** What is read, and what to show before it is there or when that failed.
 * @param {{ read: import("./data.js").Read<any>, children: (data: any) => Children }} props */
export function Loaded({ read, children }) {
  const { path } = usePlace();
  // What the address asks for is refused however often it is asked for.
  const refused = read.error instanceof ApiError && read.error.status === 422;
  return html`<${Problem} error=${read.error} retry=${refused ? undefined : read.reload} />
    ${refused ? html`<p><a href=${path}>Show the page without what its address asks for</a></p>` : null}
    ${read.data === undefined
      ? read.loading && html`<p class="loading" role="status">Loading…</p>`
      : html`<div aria-busy=${read.loading}>${children(read.data)}</div>`}`;
}

/** Text with a button that copies it. @param {{ text: string, label?: string }} props */
export function Copyable({ text, label = "Copy" }) {
  return html`<span class="copyable"><code>${text}</code><${CopyButton} text=${text} label=${label} /></span>`;
}

/** @param {{ text: string, label: string, named?: boolean }} props *named*: the label is seen. */
export function CopyButton({ text, label, named = false }) {
  const [said, say] = useState("");
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => say(""), 2_000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = () =>
    // Browsers have a clipboard only on https and loopback.
    Promise.resolve(navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => say("Copied"), () => say("Select it and copy"));
  return html`<button type="button" class="quiet copy" aria-label=${named ? undefined : label} title=${label} onClick=${copy}>
    <${Icon} name=${said === "Copied" ? "done" : "copy"} />${named ? html`<span>${label}</span>` : null}
    <span class=${said ? "said" : "hidden"} role="status">${said}</span>
  </button>`;
}

/** Names and values. @param {{ rows: [string, Children][] }} props Those whose value is undefined are left out. */
export function Facts({ rows }) {
  return html`<dl class="facts">
    ${rows.filter(([, value]) => value !== undefined).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value ?? html`<span class="faint">–</span>`}</dd></div>`)}
  </dl>`;
}

/** @param {{ value: unknown }} props An object as JSON. */
export function Json({ value }) {
  const text = JSON.stringify(value, null, 2);
  return html`<div class="json"><pre tabindex="0">${text}</pre><${CopyButton} text=${text} label="Copy JSON" /></div>`;
}

/** What else an error says. @param {{ error: Pick<ErrorSample, "stack_trace" | "context" | "truncated"> }} props */
export function ErrorMore({ error: { stack_trace, context, truncated } }) {
  return html`
    ${stack_trace ? html`<h3>Stack</h3><div class="json"><pre tabindex="0">${stack_trace}</pre><${CopyButton} text=${stack_trace} label="Copy the stack" /></div>` : null}
    ${context ? html`<h3>Context</h3><${Json} value=${context} />` : null}
    ${truncated.length ? html`<p class="hint">Too large to be shown whole: ${truncated.join(", ")}</p>` : null}`;
}

/** A part of a page. @param {{ title: string, aside?: Children, children?: Children }} props */
export function Section({ title, aside, children }) {
  const name = title.toLowerCase().replace(/\W+/g, "-");
  return html`<section aria-labelledby=${`h-${name}`}>
    <div class="section-head"><h2 id=${`h-${name}`}>${title}</h2>${aside}</div>
    ${children}
  </section>`;
}

/** Whether the reader has come from another page: then its heading has the focus, also one that takes the place of a first one. */
export const arrival = { within: false };

/** The head of a page. @param {{ title: string, children?: Children }} props *children*: what can be done here. */
export function PageHead({ title, children }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  // It may stand for one that was focused when the reader came here, and is gone since its page was read.
  useEffect(() => {
    if (arrival.within && document.activeElement === document.body) heading.current?.focus({ preventScroll: true });
  }, []);
  return html`<header class="page-head"><h1 tabindex="-1" ref=${heading}>${title}</h1>${children ? html`<div class="acts">${children}</div>` : null}</header>`;
}
