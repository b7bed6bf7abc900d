// @ts-check
/** What the list of crawlers and the page of one share. */

import { useState } from "/dashboard/vendor/hooks.js";
import { afterHeartbeat, failureRate, presence } from "../core/crawlers.js";
import { count, percent } from "../core/numbers.js";
import { duration } from "../core/times.js";
import { Badge, Since } from "./bits.js";
import { html } from "./html.js";
import { useStream } from "./live.js";

/** @import { Crawler, HeartbeatEvent } from "../../web/types.d.ts" */

/** Milliseconds after which crawlers are read again: what they hold and how that ends is told job by job. */
export const EVERY = 15_000;

/** Follow heartbeats; returns what makes a crawler one after its latest. */
export function useHeartbeats() {
  const [beats, setBeats] = useState(/** @type {Map<string, HeartbeatEvent>} */ (new Map()));
  useStream({ types: "heartbeat" }, (events) => {
    setBeats((before) => {
      const after = new Map(before);
      for (const { type, data } of events) if (type === "heartbeat") after.set(data.crawler_id, data);
      return after;
    });
  });
  return (/** @type {Crawler} */ crawler) => afterHeartbeat(crawler, beats.get(crawler.id));
}

const PRESENCE = { connected: "live", silent: "silent", gone: "none" };

/** Whether it is there, and works. @param {{ crawler: Crawler }} props */
export function Presence({ crawler }) {
  const present = presence(crawler);
  return html`<span><${Badge} value=${present} kind=${PRESENCE[present]} />
    ${crawler.suspected_at ? html`<br /><${Badge} value="failing everything" kind="failed" /> <span class="hint"><${Since} at=${crawler.suspected_at} /></span>` : null}</span>`;
}

/** What people have set; that one which has gone would serve is no good news. @param {{ crawler: Crawler }} props */
export function Mode({ crawler: { mode, connected, stale } }) {
  return html`<${Badge} value=${mode} kind=${mode === "serving" && !connected && !stale ? "none" : mode} />`;
}

/** How its attempts of the last hour ended. @param {{ crawler: Crawler }} props */
export function Recent({ crawler: { recent } }) {
  const rate = failureRate(recent);
  if (rate === null) return html`<span class="faint">nothing ended</span>`;
  return html`<span>${count(recent.completed)} completed, <span class=${rate > 0.5 ? "failed" : ""}>${count(recent.failed)} failed (${percent(rate)})</span>
    ${recent.seconds === null ? null : html`<br /><span class="hint">${duration(recent.seconds)} each on average</span>`}</span>`;
}
