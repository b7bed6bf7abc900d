// @ts-check
/** Pauses: adding one, ending one. */

import { COMMANDS } from "../core/jobs.js";
import { covered } from "../core/pauses.js";
import { client } from "./api.js";

/** @import { Pause, PauseBody } from "../../web/types.d.ts" */
/** @import { Act, Field } from "./acts.js" */

/** @type {Record<PauseBody["scope"], string>} */
const SCOPES = { everything: "Everything", account: "An account", host: "A GitLab host", command: "A command", path_prefix: "A group or project, with all below it" };

/**
 * Hold back what a scope covers.
 *
 * @param {(() => void) | undefined} after
 * @param {{ scope?: PauseBody["scope"], target?: string }} [known] What is covered, where that is settled.
 * @returns {Act}
 */
export function pauseAct(after, known = {}) {
  const { scope, target } = known;
  /** @type {Field[]} */
  const fields = [];
  if (!scope) fields.push({ name: "scope", label: "What", kind: "choice", choices: Object.entries(SCOPES), value: "account" });
  if (target === undefined && scope !== "everything") {
    fields.push({ name: "target", label: "Which", required: true, hint: "The id of the account, the host's URL, or the path", shown: (values) => !["everything", "command"].includes(scope ?? values.scope) });
    fields.push({ name: "command", label: "Which", kind: "choice", choices: COMMANDS.map((each) => [each, each]), value: COMMANDS[0], shown: (values) => (scope ?? values.scope) === "command" });
  }
  fields.push({ name: "reason", label: "Reason", required: true, hint: "Everybody who asks why a job does not run reads it." }, { name: "ends_at", label: "Until", kind: "time", hint: "Without it, until somebody ends it." });
  const what = scope ? covered({ scope, target: target ?? null }) : "jobs";
  return {
    verb: "Pause",
    title: `Pause ${what}`,
    effect: `No job of ${scope ? what : "what it covers"} is given to a crawler until the pause ends. Jobs that run go on to their end; no state changes.`,
    needs: "operate",
    fields,
    run: ({ scope: chosen, target: named, command, reason, ends_at }) =>
      client.pauses.add(/** @type {PauseBody} */ ({ scope: scope ?? chosen, target: target ?? named ?? command ?? undefined, reason, ends_at })),
    done: (pause) => `Paused: ${covered(pause)}${pause.waiting_for_nodes.length ? "; some nodes do not act on it yet" : ""}`,
    action: "pause.add",
    target: (pause) => pause.target,
    after,
  };
}

/** End a pause. @param {Pick<Pause, "id" | "scope" | "target">} pause @param {() => void} [after] @returns {Act} */
export function endPauseAct(pause, after) {
  return {
    verb: "End",
    title: `End the pause of ${covered(pause)}`,
    effect: "What it covers goes out again, unless another pause covers it",
    needs: "operate",
    run: () => client.pauses.end(pause.id),
    done: `The pause of ${covered(pause)} has ended`,
    action: "pause.end",
    target: pause.target,
    after,
  };
}
