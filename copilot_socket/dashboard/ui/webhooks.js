// @ts-check
/** Webhooks: other programs that are told what people should look at. */

import { useEffect, useState } from "/dashboard/vendor/hooks.js";
import { count, counted } from "../core/numbers.js";
import { ActButton } from "./acts.js";
import { client } from "./api.js";
import { Badge, Copyable, Empty, Facts, Json, Loaded, Section, Time, Until } from "./bits.js";
import { useData } from "./data.js";
import { html } from "./html.js";
import { Table } from "./table.js";
import { activeAct, addWebhookAct, EVENTS, removeAct, retryDeliveryAct, rotateAct, testAct } from "./webhook_acts.js";

/** @import { Webhook, WebhookDelivery, WebhookDeliveryList, WebhookList } from "../../web/types.d.ts" */
/** @import { Column } from "./table.js" */

export function Webhooks() {
  // There are ten at most.
  const read = useData("webhooks", (options) => client.webhooks.list({}, options));
  return html`<${Section} title="Webhooks" aside=${html`<${ActButton} act=${addWebhookAct(read.reload)} label="Add a webhook" />`}>
    <${Loaded} read=${read}>${(/** @type {WebhookList} */ { webhooks }) => (webhooks.length === 0
      ? html`<${Empty} title="There are no webhooks yet." command="copilot-socket webhooks add https://example.org/hook --event job.failed">
          A webhook tells another program of failed jobs, expired credentials, held hosts and quarantined crawlers. Add one here or with the command line:<//>`
      : webhooks.map((webhook) => html`<${One} key=${webhook.id} webhook=${webhook} after=${read.reload} />`))}<//><//>`;
}

/** @param {{ webhook: Webhook, after: () => void }} props */
function One({ webhook, after }) {
  const { id, url, events, description, active, created_at, created_by, former_secret_until } = webhook;
  const [open, setOpen] = useState(false);
  const [turn, setTurn] = useState(0);
  const sent = () => {
    setTurn((number) => number + 1);
    setTimeout(() => setTurn((number) => number + 1), 2_000); // what has become of it
  };
  return html`<article class="part">
    <div class="section-head"><h3>${url}</h3><span class="acts">
      ${active ? html`<${ActButton} small act=${testAct(webhook, () => { setOpen(true); sent(); })} />` : null}
      <${ActButton} small act=${activeAct(webhook, after)} /><${ActButton} small act=${rotateAct(webhook, after)} /><${ActButton} small act=${removeAct(webhook, after)} /></span></div>
    <${Facts} rows=${[
      ["State", html`<${Badge} value=${active ? "active" : "not active"} kind=${active ? "live" : "paused"} />`],
      ["Told of", events.map((event) => EVENTS[event]).join(", ")],
      ["For", description ?? undefined],
      ["Created", html`<${Time} at=${created_at} /> <span class="hint">by ${created_by}</span>`],
      ["Former secret", former_secret_until ? html`valid <${Until} at=${former_secret_until} />` : undefined],
      ["Id", html`<${Copyable} text=${id} label="Copy the id" />`],
    ]} />
    <details open=${open} onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}><summary>Deliveries</summary>
      ${open ? html`<${Deliveries} id=${id} turn=${turn} after=${sent} />` : null}</details>
  </article>`;
}

/** @param {{ id: string, turn: number, after: () => void }} props *turn*: changes when something was sent. */
function Deliveries({ id, turn, after }) {
  // No event tells of them.
  const read = useData(id, (options) => client.webhooks.deliveries(id, { limit: 25 }, options), { every: 15_000 });
  useEffect(() => {
    if (turn) read.reload();
  }, [turn]);
  /** @type {Column<WebhookDelivery>[]} */
  const columns = [
    { label: "Event", cell: ({ event }) => event },
    { label: "Happened", cell: ({ occurred_at }) => html`<${Time} at=${occurred_at} />`, kind: "short" },
    { label: "State", cell: ({ status }) => html`<${Badge} value=${status} kind=${status === "pending" ? "queued" : status} />`, kind: "short" },
    { label: "Attempts", cell: ({ attempts }) => count(attempts), number: true },
    {
      label: "Last answer",
      cell: ({ status_code, error, next_at, delivered_at }) => html`<span>${[status_code, error].filter(Boolean).join(": ") || "–"}
        ${next_at ? html` <span class="hint">again <${Time} at=${next_at} /></span>` : delivered_at ? html` <span class="hint"><${Time} at=${delivered_at} /></span>` : null}</span>`,
      kind: "long",
    },
    { label: "Message", cell: (delivery) => html`<${Message} delivery=${delivery} />` },
    { label: "Actions", cell: (delivery) => html`<${ActButton} small act=${retryDeliveryAct(id, delivery, after)} />`, kind: "short" },
  ];
  return html`<${Loaded} read=${read}>${(/** @type {WebhookDeliveryList} */ { deliveries, next }) => html`
    ${deliveries.length === 0 ? html`<${Empty} title="Nothing has been sent yet.">Test it: that sends a message at once.<//>`
      : html`<${Table} caption="Deliveries, the latest first" columns=${columns} rows=${deliveries} rowKey=${(/** @type {WebhookDelivery} */ each) => each.id} />`}
    ${next ? html`<p class="hint">These are the latest 25. All: <${Copyable} text=${`copilot-socket webhooks deliveries ${id}`} /></p>` : null}`}<//>`;
}

/** @param {{ delivery: WebhookDelivery }} props */
function Message({ delivery: { payload, event } }) {
  const fields = Object.keys(payload).length;
  if (fields === 0) return html`<span class="faint">–</span>`;
  return html`<details class="row-details"><summary aria-label=${`Message of ${event}`}>${counted(fields, "field")}</summary><${Json} value=${payload} /></details>`;
}
