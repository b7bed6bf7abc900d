// @ts-check
/** Tokens of the API, and webhooks. */

import { useRef } from "/dashboard/vendor/hooks.js";
import { address, picked } from "../core/addresses.js";
import { ActButton } from "../ui/acts.js";
import { client, session } from "../ui/api.js";
import { Badge, Copyable, Empty, Loaded, PageHead, Section, Time, useNow } from "../ui/bits.js";
import { useData } from "../ui/data.js";
import { html } from "../ui/html.js";
import { usePlace } from "../ui/router.js";
import { useStore } from "../ui/store.js";
import { List } from "../ui/table.js";
import { Webhooks } from "../ui/webhooks.js";

/** @import { Token, TokenBody, TokenList } from "../../web/types.d.ts" */
/** @import { Act } from "../ui/acts.js" */
/** @import { Column } from "../ui/table.js" */

/** What a role may do, each also what those before it may. @type {Record<TokenBody["role"], string>} */
const ROLES = {
  read: "see everything but settings, tokens, webhooks and the audit log",
  operate: "also see settings and audit log; act on jobs, crawlers, errors, pauses, limits",
  app: "also store and delete accounts and their credentials",
  admin: "everything, tokens and webhooks included",
};

export function Tokens() {
  const { query } = usePlace();
  const given = picked(query, ["limit", "cursor"]);
  const read = useData(address("", given), (options) => client.tokens.list(given, options));
  const who = useStore(session);
  const own = useRef("");
  own.current = who?.name.replace(/^token:/, "") ?? "";
  /** @type {Column<Token>[]} */
  const columns = [
    { label: "Name", cell: ({ name }) => html`<span><strong>${name}</strong>${name === own.current ? html` <span class="hint">yours</span>` : null}</span>` },
    { label: "Role", cell: ({ role }) => html`<span>${role} <span class="hint">${ROLES[role]}</span></span>` },
    { label: "Limited to", cell: ({ accounts, users }) => limits(accounts, users) },
    { label: "Created", cell: ({ created_at, created_by }) => html`<span><${Time} at=${created_at} /> <span class="hint">by ${created_by}</span></span>` },
    { label: "Last used", cell: ({ last_used_at }) => html`<${Time} at=${last_used_at} none="never" />`, kind: "short" },
    { label: "Expires", cell: ({ expires_at }) => html`<${Expires} at=${expires_at} />`, kind: "short" },
    { label: "Actions", cell: ({ name }) => html`<${ActButton} small act=${revokeAct(name, name === own.current, read.reload)} />`, kind: "short" },
  ];
  return html`
    <${PageHead} title="Tokens"><${ActButton} act=${addAct(read.reload)} kind="strong" /><//>
    <${Section} title="Tokens of the API" aside=${html`<span class="hint">The node's own, COPILOT_HTTP_TOKEN, is a setting and not listed.</span>`}>
      <${Loaded} read=${read}>${(/** @type {TokenList} */ { tokens, next }) => html`
        <${List} caption="Tokens of the API" columns=${columns} rows=${tokens} rowKey=${(/** @type {Token} */ { name }) => name} optional next=${next}
          empty=${html`<${Empty} title="There are no tokens but the node's own." command="copilot-socket tokens add NAME --role read">
            Give each program and person one of their own, here or with the command line:<//>`} />`}<//><//>
    <${Webhooks} />`;
}

/** @param {{ at: string | null }} props */
function Expires({ at }) {
  const now = useNow();
  return html`<span><${Time} at=${at} none="never" />${at && Date.parse(at) <= now ? html` <${Badge} value="expired" />` : null}</span>`;
}

/** @param {string[] | null} accounts @param {string[] | null} users */
function limits(accounts, users) {
  const words = [accounts && `accounts ${accounts.join(", ")}`, users && `users ${users.join(", ")}`].filter(Boolean);
  return words.length ? words.join("; ") : html`<span class="faint">not limited</span>`;
}

/** @param {string | null} text @returns {string[] | null} */
function names(text) {
  const given = (text ?? "").split(/[\s,]+/).filter(Boolean);
  return given.length ? given : null;
}

/** @param {() => void} after @returns {Act} */
function addAct(after) {
  return {
    verb: "Add",
    title: "Add a token",
    effect: "The token is shown once, after it has been added. Only a hash of it is stored.",
    needs: "admin",
    fields: [
      { name: "name", label: "Name", required: true, hint: "Of the program or person that uses it: the audit log shows it." },
      { name: "role", label: "Role", kind: "choice", value: "read", choices: Object.entries(ROLES).map(([role, text]) => [role, `${role}: ${text}`]) },
      { name: "accounts", label: "Limited to accounts", hint: "Ids, separated by commas. Empty: all.", shown: ({ role }) => role === "app" },
      { name: "users", label: "Limited to jobs of users", hint: "Ids, separated by commas. Empty: all.", shown: ({ role }) => role === "app" },
      { name: "expires_at", label: "Expires", kind: "time", hint: "In the zone of this browser. Empty: never." },
    ],
    run: ({ name, role, accounts, users, expires_at }) => client.tokens.add({ name, role, accounts: names(accounts), users: names(users), expires_at }),
    done: ({ name }) => `The token ${name} has been added`,
    once: true, show: ({ name, token }) => html`<p>The token <strong>${name}</strong>. It is shown this once: copy it now.</p><p><${Copyable} text=${token} label="Copy the token" /></p>`,
    action: "token.add",
    target: ({ name }) => name,
    after,
  };
}

/** @param {string} name @param {boolean} own @param {() => void} after @returns {Act} */
function revokeAct(name, own, after) {
  return {
    verb: "Revoke", title: `Revoke the token ${name}`, needs: "admin", asks: true,
    effect: html`<p>Whoever uses it is refused from now on, and sessions that it has begun end.
      ${own ? " It is the one you are signed in with." : ""}</p><p><strong>This can't be undone.</strong></p>`,
    run: () => client.tokens.revoke(name), done: `The token ${name} is revoked`, action: "token.revoke", target: name, after,
  };
}
