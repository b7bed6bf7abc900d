// @ts-check
/** Signing in, by a token of the API. */

import { useEffect, useRef, useState } from "/dashboard/vendor/hooks.js";
import { badLink, signIn } from "./api.js";
import { Copyable, Problem } from "./bits.js";
import { html } from "./html.js";
import { useStore } from "./store.js";

/** @param {{ again: boolean }} props *again*: the session has ended. */
export function SignIn({ again }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [busy, setBusy] = useState(false);
  const link = useStore(badLink);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => input.current?.focus(), []);
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await signIn(token.trim());
    } catch (thrown) {
      setError(thrown);
    }
    setBusy(false);
  };
  return html`<main class="alone">
    <form class="sign-in" onSubmit=${submit}>
      <h1><img src="/dashboard/icon.svg" alt="" width="28" height="28" /> ${again ? "Sign in again" : "Sign in"}</h1>
      ${again && !link ? html`<p>Your session has ended. Sign in to continue where you left off.</p>` : null}
      ${link ? html`<p role="alert">The link was used already, or has expired. Make a new one:</p><p><${Copyable} text="copilot-socket open" /></p><p>Or sign in with a token.</p>` : null}
      <div class="field"><label for="token">Token</label>
        <input id="token" ref=${input} type="password" autocomplete="current-password" required value=${token} onInput=${(/** @type {any} */ event) => setToken(event.target.value)} /></div>
      <${Problem} error=${error} />
      <button type="submit" class="strong" disabled=${busy}>Sign in</button>
      ${link ? null : html`<p class="hint">On the node's machine this prints a link that signs you in:</p><p><${Copyable} text="copilot-socket open" /></p>`}
      <p class="hint">On the node's machine this prints the token:</p>
      <p><${Copyable} text="copilot-socket token" /></p>
    </form>
  </main>`;
}
