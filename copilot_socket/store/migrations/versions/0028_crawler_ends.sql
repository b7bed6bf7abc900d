-- What "hello" said; NULL: nothing, or there was none.
ALTER TABLE crawlers ADD COLUMN version text CHECK (length(version) <= 128);

-- How the attempts of crawlers ended, by slices of five minutes, as nodes have seen it: docs/adr/0021-counts-without-counting.md.
-- "ran" of the attempts lasted "seconds" together. Written every ten seconds, kept for two hours.
CREATE TABLE crawler_ends (
  crawler_key text NOT NULL,
  at          bounded_timestamptz NOT NULL,
  node_id     text NOT NULL,
  cause       end_cause NOT NULL,
  attempts    counted_number NOT NULL CHECK (attempts >= 0),
  ran         counted_number NOT NULL CHECK (ran >= 0),
  seconds     counted_seconds NOT NULL,
  PRIMARY KEY (crawler_key, at, node_id, cause)
) WITH (fillfactor = 70);
