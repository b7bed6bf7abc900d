// @ts-check
/** What can be done to webhooks. */

import { client } from "./api.js";
import { Copyable } from "./bits.js";
import { html } from "./html.js";

/** @import { Webhook, WebhookDelivery, WebhookEvent } from "../../web/types.d.ts" */
/** @import { Act } from "./acts.js" */

/** What a webhook can be told of, in words. @type {Record<WebhookEvent, string>} */
export const EVENTS = {
  "job.failed": "jobs that have failed for good",
  "credential.expired": "credentials that GitLab refuses",
  "host.held": "hosts that are held back, as they are unavailable",
  "crawler.quarantined": "crawlers that are quarantined",
};

/** @param {{ secret: string }} made */
function showSecret({ secret }) {
  return html`<p>The secret with which messages are signed. It is shown this once: copy it now.</p><p><${Copyable} text=${secret} label="Copy the secret" /></p>`;
}

/** @param {() => void} after @returns {Act} */
export function addWebhookAct(after) {
  const events = /** @type {[WebhookEvent, string][]} */ (Object.entries(EVENTS));
  return {
    verb: "Add",
    title: "Add a webhook",
    effect: "From now on the URL is posted a signed message for each of these. The secret is shown once, after the webhook has been added.",
    needs: "admin",
    fields: [
      { name: "url", label: "URL", required: true, hint: "As https://example.org/hook" },
      ...events.map(([name, text]) => /** @type {import("./acts.js").Field} */ ({ name, label: `${text[0].toUpperCase()}${text.slice(1)}`, kind: "check", value: "true" })),
      { name: "description", label: "What it is for" },
    ],
    run: (values) => client.webhooks.add({ url: values.url, description: values.description, events: events.map(([name]) => name).filter((name) => values[name]) }),
    done: ({ url }) => `The webhook to ${url} has been added`,
    once: true, show: showSecret,
    action: "webhook.add",
    target: ({ id }) => id,
    after,
  };
}

/** @param {Webhook} webhook @param {() => void} after @returns {Act} */
export function testAct({ id, url }, after) {
  return {
    verb: "Test", title: `Test the webhook to ${url}`, effect: "It is sent the message ping", needs: "admin",
    run: () => client.webhooks.test(id), done: "The message is on its way: see the deliveries", action: "webhook.test", target: id, after,
  };
}

/** @param {Webhook} webhook @param {() => void} after @returns {Act} */
export function activeAct({ id, url, active }, after) {
  if (!active) {
    return {
      verb: "Activate", title: `Activate the webhook to ${url}`, effect: "It is told of what happens from now on", needs: "admin",
      run: () => client.webhooks.change(id, { active: true }), done: "The webhook is active", action: "webhook.change", target: id, after,
    };
  }
  return {
    verb: "Deactivate", title: `Deactivate the webhook to ${url}`, needs: "admin", asks: true,
    effect: "It is sent nothing until it is activated again. What is still to be sent is given up.",
    run: () => client.webhooks.change(id, { active: false }), done: "The webhook is no longer sent anything", action: "webhook.change", target: id, after,
  };
}

/** @param {Webhook} webhook @param {() => void} after @returns {Act} */
export function rotateAct({ id, url }, after) {
  return {
    verb: "Rotate", title: `Rotate the secret of the webhook to ${url}`, needs: "admin",
    effect: "Messages are signed with a new secret, which is shown once, and for some time with the former one, too.",
    fields: [{ name: "former_valid_hours", label: "Hours for which the former one is valid", kind: "number", required: true, min: 0, max: 168, value: "24" }],
    run: ({ former_valid_hours }) => client.webhooks.rotate(id, { former_valid_hours }), done: "The webhook has a new secret", once: true, show: showSecret, action: "webhook.rotate", target: id, after,
  };
}

/** @param {Webhook} webhook @param {() => void} after @returns {Act} */
export function removeAct({ id, url }, after) {
  return {
    verb: "Remove", title: `Remove the webhook to ${url}`, needs: "admin", asks: true,
    effect: html`<p>It is no longer sent anything, and the log of its deliveries goes with it.</p><p><strong>This can't be undone.</strong></p>`,
    run: () => client.webhooks.remove(id), done: `The webhook to ${url} is removed`, action: "webhook.remove", target: id, after,
  };
}

/** @param {string} id Of the webhook. @param {WebhookDelivery} delivery @param {() => void} after @returns {Act} */
export function retryDeliveryAct(id, { id: delivery, event }, after) {
  return {
    verb: "Send again", title: `Send the message ${event} again`, effect: "The message is sent again at once, whatever came of it", needs: "admin",
    run: () => client.webhooks.retry(id, delivery), done: "The message is on its way", action: "webhook.retry", target: id, after,
  };
}
