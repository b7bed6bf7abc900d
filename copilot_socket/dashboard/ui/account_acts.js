// @ts-check
/** Accounts: their credentials, their limits, their end. */

import { counted } from "../core/numbers.js";
import { client, isLimited } from "./api.js";
import { html } from "./html.js";

/** @import { Account } from "../../web/types.d.ts" */
/** @import { Act } from "./acts.js" */

/** @param {Pick<Account, "id"> & Partial<Account>} account With its jobs, if it is to say how many wait. @param {() => void} [after] @returns {Act} */
export function renewAct({ id, jobs, credential_status }, after) {
  const waiting = jobs && jobs.waiting_credential + (credential_status === "expired" ? jobs.queued : 0);
  return {
    verb: "Renew",
    title: `Renew the credential of ${id}`,
    effect: html`<p>The account's tokens are replaced by these. Nobody is shown them again.</p>
      ${waiting === undefined ? null : html`<p><strong>${waiting === 0 ? "No job" : counted(waiting, "job")}</strong> ${waiting > 1 ? "wait" : "waits"} for that.</p>`}`,
    needs: "app",
    fields: [
      { name: "access_token", label: "Access token", kind: "password", required: true, hint: "With the right to read the API (read_api)." },
      { name: "refresh_token", label: "Refresh token", kind: "password", hint: "With one, the server renews the access token by itself. Without one, the account no longer has any." },
      { name: "token_expires_at", label: "Expires", kind: "time", hint: "In the zone of this browser. Empty if it is not known." },
    ],
    run: (values) => client.accounts.renew(id, /** @type {any} */ (values)),
    done: `The credential of ${id} is renewed`,
    action: "account.renew",
    target: id,
    after,
  };
}

/**
 * What else can be done to an account.
 *
 * @param {Account} account
 * @param {(result: any) => void} after
 * @returns {Act[]}
 */
export function accountActs({ id, weight, max_running, jobs }, after) {
  /** @type {Act[]} */
  const acts = [{
    verb: "Rediscover", title: `Rediscover the groups and projects of ${id}`, needs: "operate",
    effect: "A job is queued that discovers what the account may see, unless such a job is live already",
    run: () => client.accounts.rediscover(id),
    done: ({ created }) => (created ? "The discovery is queued" : "A discovery is live already"),
    action: "job.submit", target: id, after,
  }];
  if (!isLimited()) {
    acts.push({
      verb: "Change limits", title: `Change the limits of ${id}`, needs: "operate",
      effect: "Jobs that run go on, also where there are more than a new limit allows.",
      fields: [
        { name: "weight", label: "Weight", kind: "number", required: true, min: 1, max: 100, value: String(weight),
          hint: "How many of its jobs go out where another account has its turn with one: 1 to 100. Nodes follow within 30 s." },
        { name: "max_running", label: "Running jobs at most", kind: "number", min: 1, max: 100_000, value: max_running === null ? "" : String(max_running), hint: "Empty: any number." },
      ],
      run: (values) => client.accounts.change(id, values),
      done: ({ waiting_for_nodes = [] }) => `The limits of ${id} are changed${waiting_for_nodes.length ? "; some nodes do not act on that yet" : ""}`,
      action: "account.change", target: id, after,
    });
  }
  const all = Object.values(jobs ?? {}).reduce((sum, each) => sum + each, 0);
  acts.push({
    verb: "Delete", title: `Delete the account ${id}`, needs: "app", asks: true,
    effect: html`<p>With the account go its ${jobs ? html`<strong>${counted(all, "job")}</strong>` : "jobs"} with their attempts and errors, what it may see of groups and projects, its tokens, its budgets and its pauses.
        Live jobs prevent that: cancel them first, or wait for their end.</p>
      <p>Many jobs take some time; if this page is closed meanwhile, delete the account once more.</p>
      <p><strong>This can't be undone.</strong></p>`,
    run: () => deleted(id),
    done: ({ jobs_deleted }) => `The account ${id} is deleted, with ${counted(jobs_deleted, "job")}`,
    action: "account.delete", target: id, after,
  });
  return acts;
}

/** Delete an account, however many requests that takes. @param {string} id */
async function deleted(id) {
  for (let jobs = 0; ;) {
    const answer = await client.accounts.delete(id);
    jobs += answer.jobs_deleted;
    if (answer.deleted) return { ...answer, jobs_deleted: jobs };
  }
}
