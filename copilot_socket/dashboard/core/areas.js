// @ts-check
/** What the dashboard knows of areas (docs/http.md, "Areas"). Pure. */

/** @import { Area } from "../../web/types.d.ts" */

/** The commands that a discovery submits for an area, by its type (docs/protocol.md). @type {Record<Area["type"], string[]>} */
export const COMMANDS_OF = {
  group: ["group", "groupMilestones", "epics"],
  project: ["project", "issues", "mergeRequests", "commits", "branches", "pipelines", "releases", "jobs", "mergeRequestNotes"],
};

/** An area's address at its GitLab, by which pages name it. @param {Pick<Area, "gitlab_origin" | "full_path">} area */
export function areaName({ gitlab_origin, full_path }) {
  return `${gitlab_origin}/${full_path}`;
}

/** GitLab and path of a name; null if it is none. @param {string} name */
export function areaOf(name) {
  const parts = name.match(/^(https?:\/\/[^/]+)\/(.+)$/);
  return parts && { gitlab_origin: parts[1], full_path: parts[2] };
}

/** What has been done last first. @param {Record<string, string>} lastCompleted @returns {[command: string, at: string][]} */
export function latestFirst(lastCompleted) {
  return Object.entries(lastCompleted).sort(([, one], [, other]) => (one < other ? 1 : -1));
}
