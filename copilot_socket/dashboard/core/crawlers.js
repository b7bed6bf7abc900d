// @ts-check
/** What the dashboard knows of crawlers (docs/http.md, "Crawlers, nodes, statistics"). Pure. */

/** @import { Crawler, HeartbeatEvent, RecentEnds } from "../../web/types.d.ts" */

/**
 * The `id` of a crawler by its key: its `crawlerId`, or else its process, or the connection where that is unknown.
 *
 * @param {string | null} key `hello:crawler-7`, or `pid:BOOT:NAMESPACE:PID:START:UID`.
 */
export function crawlerName(key) {
  if (key === null) return null;
  const [kind, ...parts] = key.split(":");
  if (kind === "hello") return parts.join(":");
  if (kind === "pid" && parts.length >= 5) return `pid ${parts[parts.length - 3]} (uid ${parts[parts.length - 1]})`;
  return `${kind} ${parts.join(":")}`;
}

/** Whether it is there, in a word. @param {Pick<Crawler, "connected" | "stale">} crawler @returns {"connected" | "silent" | "gone"} */
export function presence({ connected, stale }) {
  return connected ? "connected" : stale ? "silent" : "gone";
}

/** The share of attempts that have failed, of those that have failed or completed their job; null if there were none.
 * @param {RecentEnds} recent */
export function failureRate({ completed, failed }) {
  return completed + failed === 0 ? null : failed / (completed + failed);
}

/**
 * A crawler after its latest heartbeat, unless what was read is newer.
 *
 * @template {Pick<Crawler, "last_heartbeat" | "system_status">} T
 * @param {T} crawler
 * @param {HeartbeatEvent | undefined} beat
 * @returns {T}
 */
export function afterHeartbeat(crawler, beat) {
  if (!beat || Date.parse(beat.timestamp) <= Date.parse(crawler.last_heartbeat ?? "1970-01-01")) return crawler;
  return { ...crawler, last_heartbeat: beat.timestamp, system_status: beat.system_status ?? crawler.system_status };
}
