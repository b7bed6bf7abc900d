// @ts-check
/** What several pages show of accounts. */

import { renewalDue } from "../core/accounts.js";
import { Badge, Time, useNow } from "./bits.js";
import { html } from "./html.js";

/** @import { Account } from "../../web/types.d.ts" */

/** Whether the credential works. @param {{ account: Account }} props */
export function Credential({ account }) {
  const { credential_status, credential_error } = account;
  return html`<span><${Badge} value=${credential_status} />${credential_error ? html` <span class="hint">${credential_error}</span>` : null}</span>`;
}

/** When the token expires, and whether somebody has to do something about that. @param {{ account: Account }} props */
export function Expiry({ account }) {
  const now = useNow();
  const { token_expires_at, has_refresh_token } = account;
  if (token_expires_at === null) return html`<span class="faint">not known</span>`;
  const due = account.credential_status === "valid" ? renewalDue(account, now) : null;
  const refused = account.credential_status === "expired" && Date.parse(token_expires_at) > now;
  return html`<span><${Time} at=${token_expires_at} />${refused ? html` <span class="hint">but refused already</span>` : has_refresh_token ? html` <span class="hint">renewed by itself</span>`
    : due ? html` <${Badge} value=${due === "now" ? "renew it now" : "renew it soon"} kind=${due === "now" ? "expired" : "warning"} />` : null}</span>`;
}
