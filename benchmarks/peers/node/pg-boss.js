// node pg-boss.js DSN JOBS: pg-boss, 8 loops that fetch 100 jobs and complete 100 jobs

const { PgBoss } = require("pg-boss");
const measured = require("./measured");

const LOOPS = 8;
const BATCH = 100;
const [connectionString, jobs] = process.argv.slice(2);

async function main() {
  const boss = new PgBoss({ connectionString, max: LOOPS, supervise: false, schedule: false });
  await boss.start();
  await boss.createQueue("crawl");
  const paths = Array.from({ length: jobs }, (_, number) => `group/${number}`);
  await boss.insert("crawl", paths.map((path) => ({ data: { path } })));

  const ran = new Set();
  const loop = async () => {
    let batch;
    while ((batch = await boss.fetch("crawl", { batchSize: BATCH })).length > 0) {
      const ids = batch.map(({ id }) => id);
      ids.forEach((id) => ran.add(id));
      await boss.complete("crawl", ids);
    }
  };
  await measured(async () => {
    await Promise.all(Array.from({ length: LOOPS }, loop));
    return ran.size;
  });
  await boss.stop();
}

main();
