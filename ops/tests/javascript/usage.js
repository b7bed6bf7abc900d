// What tsc must take, and what it must refuse: the types of the client. Never run.

import { ApiError, Client } from "copilot-socket-client";

const client = new Client({ url: "http://127.0.0.1:3000", token: "t" });

const { id, created } = await client.jobs.submit({ account_id: "me", command: "issues", full_path: "acme/shop" });
created[0] === true;
await client.jobs.get(id ?? "", { wait: 10 }, { signal: AbortSignal.timeout(1000) });
await client.jobs.cancel("01K");
await client.jobs.cancel("01K", {}, { idempotencyKey: null });
const page = await client.jobs.list({ status: ["failed", "cancelled"], limit: 10 });
page.next?.startsWith("M");
for await (const job of client.jobs.all({ status: "failed" })) job.started_at?.slice(0, 10);
for await (const account of client.accounts.all()) account.credential_status === "expired";
for await (const event of client.events({ user_id: "ann", onState: (change) => change.state })) {
  if (event.type === "job") event.data.progress?.processed;
  if (event.type === "snapshot") event.data.counts.queued + (event.data.queue?.ready ?? 0);
}
for await (const { changed_total } of client.operations.wait("01K")) changed_total.toFixed();
const started = await client.jobs.bulk({ action: "retry", filter: { status: ["failed"], finished: true } });
started.changed_total.toFixed();
(await client.jobs.bulk({ action: "recover", filter: {}, dry_run: true })).expected.toFixed();
await client.budgets.forget({ gitlab_origin: "https://gitlab.example" });
(await client.stats()).jobs.failed.toFixed();
try {
  await client.queue.pause();
} catch (error) {
  if (error instanceof ApiError) error.errors.map(({ path, message }) => path + message);
}

// @ts-expect-error: no such command
await client.jobs.submit({ account_id: "me", command: "issue", full_path: "acme/shop" });
// @ts-expect-error: no such filter
await client.jobs.list({ state: "failed" });
// @ts-expect-error: no such filter there either
await client.jobs.bulk({ action: "retry", filter: { state: ["failed"] } });
// @ts-expect-error: the id is missing
await client.jobs.get();
// @ts-expect-error: no such field
(await client.jobs.get("01K")).state;
// @ts-expect-error: required
await client.budgets.forget();
// @ts-expect-error: it has no list
client.session.all();
// @ts-expect-error: no such type of events
client.events({ types: "jobs" });
// @ts-expect-error: no such option
new Client({ base: "http://127.0.0.1:3000" });
