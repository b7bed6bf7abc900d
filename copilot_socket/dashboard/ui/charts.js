// @ts-check
/** Charts over time, each with a table of the same figures. */

import { useEffect, useRef } from "/dashboard/vendor/hooks.js";
import uPlot from "/dashboard/vendor/uplot.js";
import { compact } from "../core/numbers.js";
import { absolute, duration } from "../core/times.js";
import { html } from "./html.js";
import { theme } from "./settings.js";
import { useStore } from "./store.js";
import { Time } from "./bits.js";

/**
 * @typedef {object} Series
 * @property {string} label
 * @property {string} color The name of a colour of the style sheet, without `--`.
 * @property {(number | null)[]} values
 */

/** What the axis of times says at each tick: days, hours, minutes, seconds; the day where that changes. uPlot's own are American. */
const TICKS = [
  [86_400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

/** Pixels. */
const HEIGHT = 170;

/** Steps of an axis of durations, in seconds: whole ones of the units that are read. */
const DURATIONS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 432_000];

/** @param {{ title: string, times: number[], series: Series[], format?: (value: number) => string }} props
 *   *times*: seconds since 1970. */
export function Chart({ title, times, series, format = compact }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const look = useStore(theme);
  const labels = series.map(({ label }) => label).join();
  const data = [times, ...series.map(({ values }) => values)];

  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const color = (/** @type {string} */ name) => resolved(element, name);
    const axis = { stroke: color("faint"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    plot.current = new uPlot(
      {
        width: element.clientWidth || 300, height: HEIGHT, padding: [null, 24, null, null],
        cursor: { y: false, points: { size: 6 } },
        legend: { live: true },
        scales: { y: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
        axes: [{ ...axis, values: TICKS }, { ...axis, size: 78, ...(format === duration ? { incrs: DURATIONS } : {}), values: (/** @type {any} */ _, /** @type {number[]} */ marks) => marks.map((mark) => format(mark)) }],
        series: [
          { value: (/** @type {any} */ _, /** @type {number} */ at) => (at == null ? "–" : absolute(at * 1000)) },
          ...series.map(({ label, color: name }) => ({
            label, stroke: color(name), width: 1.5, points: { show: false }, spanGaps: false,
            value: (/** @type {any} */ _, /** @type {number | null} */ value) => (value == null ? "–" : format(value)),
          })),
        ],
      },
      /** @type {any} */ (data),
      element,
    );
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    sizes.observe(element);
    return () => {
      sizes.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [labels, look]);
  useEffect(() => plot.current?.setData(data), [times, series]);

  return html`<figure class="chart">
    <figcaption>${title}</figcaption>
    <div ref=${box} aria-hidden="true"></div>
    <details><summary>${title} as a table</summary>
      <div class="scroll" tabindex="0" role="region" aria-label=${`${title}: figures`}><table>
        <caption class="unseen">${title}</caption>
        <thead><tr><th scope="col">Time</th>${series.map(({ label }) => html`<th scope="col" class="number">${label}</th>`)}</tr></thead>
        <tbody>${[...times.keys()].reverse().map((at) => html`<tr><th scope="row"><${Time} at=${times[at] * 1000} /></th>
          ${series.map(({ values }) => html`<td class="number">${values[at] == null ? "–" : format(/** @type {number} */ (values[at]))}</td>`)}</tr>`)}</tbody>
      </table></div>
    </details>
  </figure>`;
}

/** A colour of the style sheet as a canvas takes it. @param {HTMLElement} element @param {string} name */
function resolved(element, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** A small line of counts, with its figures in words. @param {{ values: number[], label: string }} props */
export function Sparkline({ values, label }) {
  const most = Math.max(1, ...values);
  const width = Math.max(1, values.length - 1);
  const points = values.map((value, at) => `${((at / width) * 100).toFixed(1)},${(24 - (value / most) * 22).toFixed(1)}`).join(" ");
  return html`<svg class="sparkline" viewBox="0 0 100 26" preserveAspectRatio="none" role="img" aria-label=${label}><polyline points=${points} /></svg>`;
}
