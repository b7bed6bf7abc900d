const { once } = require("node:events");

/** Say that all jobs are queued; do them once told to; say how many ran, and how many seconds that took. */
module.exports = async function measured(work) {
  console.log(JSON.stringify("queued"));
  await once(process.stdin, "data");
  const begun = performance.now();
  const ran = await work();
  console.log(JSON.stringify({ ran, seconds: (performance.now() - begun) / 1000 }));
};
