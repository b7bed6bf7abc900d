// @ts-check
/** The settings of the node that answers, what it takes of memory, and what it runs on. */

import { bytes, percent } from "../core/numbers.js";
import { grouped, isChanged, readable } from "../core/settings.js";
import { client } from "../ui/api.js";
import { Copyable, Elapsed, Empty, Facts, Loaded, PageHead, Section } from "../ui/bits.js";
import { useData } from "../ui/data.js";
import { Filters, TextFilter } from "../ui/filters.js";
import { html } from "../ui/html.js";
import { usePlace } from "../ui/router.js";
import { Table } from "../ui/table.js";

/** @import { Memory, Settings as Data, ShownSetting } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

/** @type {Column<ShownSetting>[]} */
const CHANGED = [
  { label: "Setting", cell: ({ name, description }) => html`<span><code>${name}</code><br /><span class="hint">${description}</span></span>` },
  { label: "Value", cell: (setting) => html`<${Value} value=${setting.value} setting=${setting} />`, kind: "long" },
  { label: "Default", cell: (setting) => html`<${Value} value=${setting.default} setting=${setting} />`, kind: "long" },
  { label: "From", cell: ({ origin }) => origin },
];
const USUAL = CHANGED.filter(({ label }) => label !== "Default");

/** @param {{ value: string | null, setting: ShownSetting }} props */
function Value({ value, setting }) {
  const words = readable(value, setting.unit);
  if (value === null) return html`<span class="faint">none</span>`;
  if (setting.secret && value === "***") return html`<span class="faint">set, and never shown</span>`;
  return html`<span><code>${value}</code>${words ? html` <span class="hint">${words}</span>` : null}</span>`;
}

export function Settings() {
  const { query } = usePlace();
  const search = query.get("search")?.toLowerCase() ?? "";
  const read = useData("settings", (options) => client.settings({}, options));
  return html`
    <${PageHead} title="Settings" />
    <${Loaded} read=${read}>${(/** @type {Data} */ data) => html`
      <${Section} title="Node"><${Facts} rows=${[
        ["Node", html`<code>${data.node_id}</code>`],
        ["Up", html`<${Elapsed} since=${data.started_at} />`],
        ["copilot-socket", data.version],
        ["Python", data.python],
        ["Twisted", data.twisted],
        ["PostgreSQL", data.postgresql],
      ]} /><p class="hint">Other nodes may have other settings; the <a href="/">overview</a> lists the nodes.</p><//>
      <${HowToChange} settings=${data.settings} />
      <${Section} title="Settings in force">
        <${Filters} label="Filter of settings" names=${["search"]}><${TextFilter} name="search" label="Search" hint="part of a name or description" /><//>
        <${Groups} settings=${data.settings.filter(({ name, description }) => `${name} ${description}`.toLowerCase().includes(search))} />
      <//>
      <${MemoryOf} memory=${data.memory} />`}<//>`;
}

/** @param {{ settings: ShownSetting[] }} props */
function HowToChange({ settings }) {
  const environment = settings.find(({ name }) => name === "COPILOT_ENV")?.value ?? "development";
  return html`<${Section} title="How to change them">
    <p>A node reads its settings when it starts. Set the variable in its environment, or write it to the file <code>.env.${environment}</code> in its working directory,
      or give it as an option (<code>--socket-lease</code> for <code>SOCKET_LEASE</code>), and restart the node. An option wins over the environment, and that over the file.
      What is allowed is in docs/configuration.md. This command finds what would keep a node from starting:</p>
    <p><${Copyable} text="copilot-socket check" /></p>
    <p class="hint">Limits of accounts and hosts, pauses and tokens are not settings: they are changed on their pages, at any time.</p><//>`;
}

/** The changed ones first, then all others. @param {{ settings: ShownSetting[] }} props */
function Groups({ settings }) {
  const changed = settings.filter(isChanged);
  const others = settings.filter((setting) => !isChanged(setting));
  if (settings.length === 0) return html`<${Empty} title="No setting matches." />`;
  return html`<div class="aligned">${changed.length ? html`<${Group} name="Changed" columns=${CHANGED} settings=${changed} />` : html`<p class="hint">All of these have their defaults.</p>`}
    ${grouped(others).map(([name, each]) => html`<${Group} key=${name} name=${name} columns=${USUAL} settings=${each} />`)}</div>`;
}

/** @param {{ name: string, columns: Column<ShownSetting>[], settings: ShownSetting[] }} props */
function Group({ name, columns, settings }) {
  return html`<h3 class="group">${name}</h3>
    <${Table} caption=${`Settings: ${name}`} columns=${columns} rows=${settings} rowKey=${(/** @type {ShownSetting} */ each) => each.name} still />`;
}

/** @param {{ memory: Memory }} props */
function MemoryOf({ memory: { terms, total } }) {
  return html`<${Section} title="Memory">
    <p class="hint">The most memory that the node takes with these settings: its machine or container should have that much. A node with little to do takes far less.</p>
    <table>
      <caption class="unseen">Memory of the node, at most</caption>
      <thead><tr><th scope="col">Part</th><th scope="col" class="number">At most</th><th scope="col" class="number">Share</th></tr></thead>
      <tbody>${terms.map(({ what, bytes: most }) => html`<tr key=${what}><th scope="row">${what}</th><td class="number">${bytes(most)}</td><td class="number">${percent(most / total)}</td></tr>`)}</tbody>
      <tfoot><tr><th scope="row">In all</th><td class="number"><strong>${bytes(total)}</strong></td><td class="number">${percent(1)}</td></tr></tfoot>
    </table>
    <p class="hint">Lower SOCKET_MAX_CONNECTIONS and SOCKET_MAX_MESSAGE_SIZE to reduce it.</p><//>`;
}
