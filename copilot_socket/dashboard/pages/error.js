// @ts-check
/** One group of errors: when it occurred, to whom, and what the latest one says. */

import { useMemo } from "/dashboard/vendor/hooks.js";
import { address, jobsAt, pathOf } from "../core/addresses.js";
import { PERIODS, filled, sinceOf } from "../core/errors.js";
import { bounded, count } from "../core/numbers.js";
import { ActButton } from "../ui/acts.js";
import { client, now } from "../ui/api.js";
import { Badge, CopyButton, Copyable, Empty, ErrorMore, Facts, Loaded, PageHead, Ref, Section, Time } from "../ui/bits.js";
import { Chart } from "../ui/charts.js";
import { useData } from "../ui/data.js";
import { errorActs } from "../ui/error_acts.js";
import { ChoiceFilter, Filters, TextFilter } from "../ui/filters.js";
import { html } from "../ui/html.js";
import { usePlace } from "../ui/router.js";
import { Table } from "../ui/table.js";

/** @import { AccountErrors, ErrorGroupDetail, ErrorSample } from "../../web/types.d.ts" */

const EVERY = 30_000;

/** @param {{ fingerprint: string }} props */
export function ErrorGroup({ fingerprint }) {
  const { query } = usePlace();
  const [period, account_id] = [query.get("period"), query.get("account_id") || undefined];
  const key = address(fingerprint, { period, account_id });
  const read = useData(key, (options) => client.errors.get(fingerprint, { account_id, since: sinceOf(period, now()) }, options), { every: EVERY });
  const jobs = jobsAt({ error: fingerprint, status: "failed" });
  const { data, reload } = read;
  return html`
    <${PageHead} title=${data ? data.text || "Errors without a message" : `Errors ${fingerprint}`}>
      ${data ? errorActs(data, reload).map((act) => html`<${ActButton} key=${act.verb} act=${act} />`) : null}
    <//>
    <${Loaded} read=${read}>${(/** @type {ErrorGroupDetail} */ group) => html`
    <${Section} title="Group" aside=${html`<${Badge} value=${group.status} />`}>
      <${Facts} rows=${[
        ["Fingerprint", html`<${Copyable} text=${fingerprint} label="Copy the fingerprint" />`],
        ["Type", group.error_type],
        ["Command", group.command],
        ["Jobs that it has failed", group.jobs_failed ? html`<a href=${jobs}>${bounded(group.jobs_failed)}</a>` : "none that are still failed"],
        ["First", html`<${Time} at=${group.first_at} />`],
        ["Last", html`<${Time} at=${group.last_at} />`],
        ["Last retried as a group", group.retried_at ? html`<${Time} at=${group.retried_at} /> by ${group.retried_by}` : "never"],
        ["Errors since then", group.errors_since_retry === null ? undefined : count(group.errors_since_retry)],
        ["Ignored", group.ignored_at ? html`<${Time} at=${group.ignored_at} /> by ${group.ignored_by}` : undefined],
      ]} />
    <//>
    <${Section} title="Over time">
      <${Filters} label="What is counted" names=${["period", "account_id"]}>
        <${ChoiceFilter} name="period" label="Occurred within" any="all that is kept" choices=${PERIODS.map(([value, label]) => [value, label])} />
        <${TextFilter} name="account_id" label="Account" />
      <//>
      <${Facts} rows=${[["Errors", count(group.errors)], ["Accounts", count(group.accounts)]]} />
      <${Past} group=${group} period=${period} />
    <//>
    <${Accounts} group=${group} />
    <${Latest} sample=${group.sample} />`}<//>`;
}

/** @param {{ group: ErrorGroupDetail, period: string | null }} props */
function Past({ group: { history = [], history_unit: unit = "hour" }, period }) {
  const drawn = useMemo(() => {
    const { times, values } = filled(history, unit, now(), sinceOf(period, now()));
    return { times, series: [{ label: "errors", color: "bad", values }] };
  }, [history, unit, period]);
  return html`<${Chart} title=${`Errors per ${unit}`} times=${drawn.times} series=${drawn.series} format=${count} />`;
}

/** @param {{ group: ErrorGroupDetail }} props */
function Accounts({ group: { accounts, top_accounts, fingerprint } }) {
  const columns = [
    { label: "Account", cell: (/** @type {AccountErrors} */ each) => html`<${Ref} to="/accounts" id=${each.account_id} />` },
    { label: "Errors", cell: (/** @type {AccountErrors} */ each) => count(each.errors), number: true },
    { label: "Its failed jobs", cell: (/** @type {AccountErrors} */ each) =>
      html`<a href=${jobsAt({ error: fingerprint, status: "failed", account_id: each.account_id })}>Jobs</a>` },
  ];
  const shown = top_accounts.length;
  return html`<${Section} title="Accounts" aside=${accounts > shown ? html`<span class="hint">the ${shown} of ${count(accounts)} with most errors</span>` : null}>
    ${shown === 0 ? html`<${Empty} title="No such error has been counted.">Choose a longer period, or another account.<//>`
      : html`<${Table} caption="Accounts with the most errors" columns=${columns} rows=${top_accounts}
        rowKey=${(/** @type {AccountErrors} */ each) => each.account_id} />`}
  <//>`;
}

/** @param {{ sample: ErrorSample | null }} props */
function Latest({ sample }) {
  if (!sample) {
    return html`<${Section} title="Latest error">
      <${Empty} title="It has been deleted.">Errors are deleted after <code>SOCKET_MAX_ERROR_LOG_AGE</code>, or with their jobs.<//><//>`;
  }
  const { job_id, timestamp, error_message } = sample;
  const whose = html`<span class="hint"><${Time} at=${timestamp} />, of <a href=${pathOf("/jobs", job_id)}>job ${job_id}</a></span>`;
  return html`<${Section} title="Latest error" aside=${whose}>
    <div class="json"><pre tabindex="0" aria-label="Message">${error_message}</pre><${CopyButton} text=${error_message} label="Copy the message" /></div>
    <${ErrorMore} error=${sample} />
  <//>`;
}
