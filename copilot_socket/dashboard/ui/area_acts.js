// @ts-check
/** Areas: crawling one again. */

import { COMMANDS_OF } from "../core/areas.js";
import { pathOf } from "../core/addresses.js";
import { counted } from "../core/numbers.js";
import { client } from "./api.js";
import { Badge } from "./bits.js";
import { html } from "./html.js";

/** @import { AreaDetail, JobBody, Submitted } from "../../web/types.d.ts" */
/** @import { Act, Field } from "./acts.js" */

/**
 * Submit jobs for an area, with an account that may see it.
 *
 * @param {AreaDetail} area
 * @param {() => void} after
 * @returns {Act}
 */
export function recrawlAct(area, after) {
  const { full_path, type, account_ids, jobs_by_command } = area;
  const known = Object.keys(jobs_by_command);
  const commands = [...new Set([...COMMANDS_OF[type], ...known])].filter((each) => each !== "probe");
  /** @type {JobBody[]} */
  let jobs = [];
  return {
    verb: "Recrawl", title: `Recrawl ${full_path}`, needs: "operate",
    effect: "This submits a job for each chosen command. A job for work that is live already is not added again.",
    fields: [
      {
        name: "account_id", label: "Account", kind: "choice", choices: account_ids.map((each) => [each, each]), value: account_ids[0],
        required: true, hint: "Those that may see it; its token is used.",
      },
      ...commands.map((command) => (/** @type {Field} */ ({
        name: command, label: command, kind: "check", value: String(known.length === 0 || known.includes(command)),
      }))),
    ],
    run: async ({ account_id, ...chosen }) => {
      jobs = commands.filter((command) => chosen[command]).map((command) => /** @type {JobBody} */ ({ account_id, command, full_path }));
      if (jobs.length === 0) throw new Error("Choose at least one command");
      return client.jobs.submit(jobs);
    },
    done: (/** @type {Submitted} */ { created }) => inWords(created),
    show: (/** @type {Submitted} */ { ids, created }) => html`<p>${inWords(created)}:</p>
      <ul class="plain">${jobs.map(({ command }, at) => html`<li><a href=${pathOf("/jobs", ids[at])}>${command}</a>${" "}
        <${Badge} value=${created[at] ? "new" : "live already"} kind=${created[at] ? "queued" : "running"} /></li>`)}</ul>`,
    action: "job.submit", target: (/** @type {Submitted} */ { created }) => (created.some(Boolean) ? jobs[0].account_id : undefined), after,
  };
}

/** How many jobs of a submission are new. @param {boolean[]} created */
function inWords(created) {
  const fresh = created.filter(Boolean).length;
  const live = created.length - fresh;
  return `${counted(fresh, "job")} ${fresh === 1 ? "is" : "are"} new${live ? `, ${live} ${live === 1 ? "was" : "were"} live already` : ""}`;
}
