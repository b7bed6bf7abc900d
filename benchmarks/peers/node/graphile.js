// node graphile.js DSN JOBS: Graphile Worker, set up for throughput as its documentation recommends

process.env.NO_LOG_SUCCESS = "1"; // as in its own measurements; it is looked at when the module is loaded
const { Logger, makeWorkerUtils, runOnce } = require("graphile-worker");
const measured = require("./measured");

const [connectionString, jobs] = process.argv.slice(2);
const preset = {
  worker: {
    connectionString,
    logger: new Logger(() => () => {}),
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};

async function main() {
  const utils = await makeWorkerUtils({ preset });
  await utils.migrate();
  const paths = Array.from({ length: jobs }, (_, number) => `group/${number}`);
  await utils.addJobs(paths.map((path) => ({ identifier: "crawl", payload: { path } })));
  await utils.release();

  const ran = new Set();
  await measured(async () => {
    // It returns when the last batch of completions is committed.
    await runOnce({ preset }, { crawl: (_payload, { job }) => void ran.add(job.id) });
    return ran.size;
  });
}

main();
