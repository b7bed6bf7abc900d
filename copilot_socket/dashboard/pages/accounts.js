// @ts-check
/** Accounts: whether their credentials work, and how many jobs each has. */

import { renewalDue, shortUrl } from "../core/accounts.js";
import { address, picked } from "../core/addresses.js";
import { count, counted } from "../core/numbers.js";
import { ActButton } from "../ui/acts.js";
import { can, client, now } from "../ui/api.js";
import { renewAct } from "../ui/account_acts.js";
import { Credential, Expiry } from "../ui/account_bits.js";
import { Empty, JobCounts, Loaded, PageHead, Ref } from "../ui/bits.js";
import { useData } from "../ui/data.js";
import { ChoiceFilter, Filters, TextFilter } from "../ui/filters.js";
import { html } from "../ui/html.js";
import { usePlace } from "../ui/router.js";
import { List } from "../ui/table.js";

/** @import { Account, AccountList } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

/** The days of `expires_within`, by which `token_expires_before` is counted from now. @type {[string, string][]} */
const WITHIN = [["1", "within a day"], ["7", "within a week"], ["30", "within 30 days"]];
const CONDITIONS = ["search", "credential_status", "gitlab_origin", "expires_within", "token_expires_before"];

/** @type {Column<Account>[]} */
const COLUMNS = [
  { label: "Account", cell: ({ id }) => html`<${Ref} to="/accounts" id=${id} />` },
  { label: "GitLab", cell: ({ gitlab_url }) => shortUrl(gitlab_url) },
  { label: "Credential", cell: (account) => html`<${Credential} account=${account} />` },
  { label: "Token expires", cell: (account) => html`<${Expiry} account=${account} />` },
  { label: "Jobs", cell: ({ id, jobs = {} }) => html`<${JobCounts} counts=${jobs} filter=${{ account_id: id }} />` },
  { label: "Weight", cell: ({ weight }) => weight, number: true },
  { label: "Running at most", cell: ({ max_running }) => (max_running === null ? "any number" : count(max_running)), number: true },
];

export function Accounts() {
  const { query } = usePlace();
  const given = picked(query, [...CONDITIONS, "order", "limit", "cursor"]);
  const filtered = CONDITIONS.some((name) => given[name]);
  const read = useData(address("", given), (options) => client.accounts.list({ ...asQuery(given), include: "jobs" }, options), { on: ["account"], every: 30_000 });
  const totals = useData(address("", { ...given, cursor: null }), (options) => client.accounts.list({ ...asQuery(given), cursor: undefined, limit: 1, total: true }, options));
  const found = totals.data?.total === undefined ? "" : counted(totals.data.total, "account", "accounts", totals.data.total_exact);
  /** @type {Column<Account>[]} */
  const columns = can("app") ? [...COLUMNS, {
    label: "Actions", kind: "short",
    cell: (account) => (renewalDue(account, now()) ? html`<${ActButton} small act=${renewAct(account, read.reload)} />` : null),
  }] : COLUMNS;
  return html`
    <${PageHead} title="Accounts" />
    <${Filters} label="Filter of accounts" names=${CONDITIONS}>
      <${TextFilter} name="search" label="Search" hint="part of an id or URL" />
      <${ChoiceFilter} name="credential_status" label="Credential" choices=${["valid", "expired"]} />
      <${ChoiceFilter} name="expires_within" label="Token expires" any="at any time" choices=${WITHIN} />
      <${TextFilter} name="gitlab_origin" label="GitLab" hint="https://gitlab.example.org" />
      <${ChoiceFilter} name="order" label="Order" any="by id" choices=${[["token_expires_at", "by expiry (only tokens that expire)"]]} />
    <//>
    <${Loaded} read=${read}>${(/** @type {AccountList} */ { accounts, next }) => html`
      <${List} caption="Accounts" columns=${columns} rows=${accounts} rowKey=${(/** @type {Account} */ { id }) => id}
        empty=${html`<${Nothing} filtered=${filtered} order=${given.order} />`} next=${next} found=${found} />`}<//>`;
}

/** The parameters of the API. @param {Record<string, string>} given Those of the address. @returns {any} */
function asQuery({ expires_within, ...others }) {
  const days = WITHIN.some(([value]) => value === expires_within) ? Number(expires_within) : 0;
  return days ? { ...others, token_expires_before: new Date(now() + days * 86_400_000).toISOString() } : others;
}

/** @param {{ filtered: boolean, order?: string }} props */
function Nothing({ filtered, order }) {
  if (filtered) return html`<${Empty} title="No account matches.">Remove a condition.<//>`;
  if (order) return html`<${Empty} title="No account has a token with a known expiry.">Order them by id to see all.<//>`;
  return html`<${Empty} title="There are no accounts yet." command="copilot-socket seed --account-id ACCOUNT --provider gitlab-onprem --gitlab-url https://gitlab.example.org">
    Applications store them over the API. On the node's machine this command does so, with the token in SEED_ACCESS_TOKEN:<//>`;
}
