// @ts-check
/** One account: its credential, what holds its jobs back, and how many there are. */

import { originOf, renewalDue } from "../core/accounts.js";
import { jobsAt } from "../core/addresses.js";
import { count } from "../core/numbers.js";
import { covered } from "../core/pauses.js";
import { accountActs, renewAct } from "../ui/account_acts.js";
import { Expiry } from "../ui/account_bits.js";
import { ActButton } from "../ui/acts.js";
import { can, client, isLimited } from "../ui/api.js";
import { Badge, Copyable, Empty, Facts, JobCounts, Loaded, PageHead, Section, Sentence, Since, Time, Until, useNow } from "../ui/bits.js";
import { NoBudgets, budgetColumns, budgetKey } from "../ui/budget_acts.js";
import { useData } from "../ui/data.js";
import { html } from "../ui/html.js";
import { submitAct } from "../ui/job_acts.js";
import { endPauseAct, pauseAct } from "../ui/pause_acts.js";
import { go } from "../ui/router.js";
import { Table } from "../ui/table.js";

/** @import { Account as Data, Budget, Lane, Pause } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

/** @typedef {{ pauses: Pause[], budgets: Budget[] }} Restrictions */

/** @param {{ id: string }} props */
export function Account({ id }) {
  const read = useData(id, (options) => client.accounts.get(id, { include: ["jobs", "lanes"] }, options), { on: ["account", "pause", "budget", "host"], every: 15_000 });
  const origin = read.data && originOf(read.data.gitlab_url);
  const restrictions = useData(origin === undefined || isLimited() ? null : `${id} ${origin}`, (options) => restrictionsOf(id, /** @type {string} */ (origin), options), { on: ["pause", "budget"] });
  const again = () => {
    read.reload();
    restrictions.reload();
  };
  /** @param {any} result */
  const after = (result) => (result?.deleted ? go("/accounts") : again());
  const own = restrictions.data?.pauses.find(({ scope }) => scope === "account");
  return html`${read.data ? null : html`<${PageHead} title=${id} />`}<${Loaded} read=${read}>${(/** @type {Data} */ account) => html`
    <${PageHead} title=${account.id}>
      <${ActButton} act=${submitAct(again, { account_id: id })} />
      ${isLimited() ? null : html`<${ActButton} act=${own ? endPauseAct(own, again) : pauseAct(again, { scope: "account", target: id })} label=${own ? "End its pause" : "Pause"} />`}
      ${accountActs(account, after).map((act) => html`<${ActButton} key=${act.verb} act=${act} />`)}
    <//>
    <${CredentialOf} account=${account} after=${again} />
    <${Section} title="Jobs"><p><${JobCounts} counts=${account.jobs ?? {}} filter=${{ account_id: id }} /></p>
      <p><a href=${jobsAt({ account_id: id })}>All jobs of the account</a></p><//>
    <${Lanes} account=${account} />
    ${isLimited() ? null : html`<${Loaded} read=${restrictions}>${(/** @type {Restrictions} */ { pauses, budgets }) => html`
      <${Pauses} pauses=${pauses} after=${again} /><${Budgets} budgets=${budgets} after=${again} />`}<//>`}
    <${Section} title="Account"><${Facts} rows=${[
      ["Id", html`<${Copyable} text=${account.id} label="Copy the id" />`],
      ["GitLab", account.gitlab_url],
      ["Kind", account.provider === "gitlab-cloud" ? "gitlab.com" : "self-managed"],
      ["Weight", String(account.weight)],
      ["Running jobs at most", account.max_running === null ? "any number" : count(account.max_running)],
      ["Created", html`<${Time} at=${account.created_at} />`],
      ["Changed", html`<${Time} at=${account.updated_at} />`],
    ]} /><//>`}<//>`;
}

/**
 * The pauses of all that an account's jobs have in common, and the budgets of it and of its host.
 *
 * @param {string} id
 * @param {string} origin
 * @param {import("../../web/types.d.ts").Options} options
 * @returns {Promise<Restrictions>}
 */
async function restrictionsOf(id, origin, options) {
  /** @type {Restrictions} */
  const found = { pauses: [], budgets: [] };
  for await (const pause of client.pauses.all({ limit: 500 }, options)) {
    const { scope, target } = pause;
    if (scope === "everything" || (scope === "account" && target === id) || (scope === "host" && target === origin)) found.pauses.push(pause);
  }
  for await (const budget of client.budgets.all({ limit: 500 }, options)) {
    if (budget.gitlab_origin === origin && (budget.account_id === null || budget.account_id === id)) found.budgets.push(budget);
  }
  return found;
}

/** @param {{ account: Data, after: () => void }} props */
function CredentialOf({ account, after }) {
  const now = useNow();
  const { has_refresh_token, credential_checked_at, credential_error, credential_status } = account;
  return html`<${Section} title="Credential" aside=${html`<${ActButton} act=${renewAct(account, after)} kind=${renewalDue(account, now) ? "strong" : ""} />`}>
    ${credential_status === "expired" ? html`<p class="why" role="status">GitLab refuses the credential${credential_error ? `: ${credential_error}` : ""}. Jobs of the account wait until somebody renews it${can("app") ? "" : ", which takes the role app"}.</p>` : null}
    <${Facts} rows=${[
      ["State", html`<${Badge} value=${credential_status} />`],
      ["Access token expires", html`<${Expiry} account=${account} />`],
      ["Renews itself", has_refresh_token ? "yes, with its refresh token" : "no: it has no refresh token"],
      [credential_error ? "Last refresh failed" : "Last refresh", html`<${Time} at=${credential_checked_at} none="none" />${credential_error && credential_status === "valid" ? ` (${credential_error})` : ""}`],
    ]} /><//>`;
}

/** @type {Column<Lane & { account_id: string }>[]} */
const LANES = [
  { label: "Command", cell: ({ account_id, command }) => html`<a href=${jobsAt({ account_id, command })}>${command}</a>` },
  { label: "Queued", cell: (lane) => counted(lane, "queued", lane.queued), number: true },
  { label: "Of these for later", cell: ({ scheduled }) => count(scheduled), number: true },
  { label: "Running", cell: (lane) => counted(lane, "assigned,running", lane.running), number: true },
  { label: "Waiting for a credential", cell: (lane) => counted(lane, "waiting_credential", lane.waiting_credential), number: true },
  { label: "Held back", cell: ({ held }) => (held ? html`<${Sentence} text=${held} />` : html`<span class="faint">no</span>`), kind: "long" },
];

/** @param {{ account_id: string, command: string }} lane @param {string} status @param {number} number */
function counted({ account_id, command }, status, number) {
  return number ? html`<a href=${jobsAt({ account_id, command, status })}>${count(number)}</a>` : "0";
}

/** @param {{ account: Data }} props */
function Lanes({ account: { id, lanes = [] } }) {
  const rows = lanes.map((lane) => ({ ...lane, account_id: id }));
  return html`<${Section} title="Lanes" aside=${html`<span class="hint">its live jobs by command, and what holds all of a command back</span>`}>
    ${rows.length === 0 ? html`<${Empty} title="The account has no live jobs.">Submit one, or rediscover its groups and projects.<//>`
      : html`<${Table} caption="Lanes of the account" columns=${LANES} rows=${rows} rowKey=${(/** @type {Lane} */ { command }) => command} />`}<//>`;
}

/** @param {{ pauses: Pause[], after: () => void }} props */
function Pauses({ pauses, after }) {
  if (pauses.length === 0) return null;
  return html`<${Section} title="Pauses"><ul class="plain">${pauses.map((pause) => html`<li key=${pause.id} class="notice is-warning">
    <span><strong>Paused: ${covered(pause)}</strong>${pause.reason ? ` (${pause.reason})` : ""} <span class="hint">by ${pause.author} <${Since} at=${pause.created_at} />,
      ${pause.ends_at ? html` <${Until} at=${pause.ends_at} />` : " until somebody ends it"}</span></span>
    <${ActButton} small act=${endPauseAct(pause, after)} /></li>`)}</ul><//>`;
}

/** @param {{ budgets: Budget[], after: () => void }} props */
function Budgets({ budgets, after }) {
  return html`<${Section} title="Budgets">
    ${budgets.length === 0 ? html`<${NoBudgets} />`
      : html`<${Table} caption="Budgets of the account and of its host" columns=${budgetColumns(after)} rows=${budgets} rowKey=${budgetKey} />`}<//>`;
}
