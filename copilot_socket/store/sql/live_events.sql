-- Live events of all nodes (docs/adr/0027-live-events.md).

-- name: append_events
-- What a transaction has changed, or a node has seen.
INSERT INTO events (changes) VALUES (%(changes)s)

-- name: hold_numbering
-- Whether this session numbers the events from now on. Where its node stands still, the server ends it.
SELECT pg_try_advisory_lock(x'636F70696C6F79'::bigint)

-- name: numbers_valid
-- Whether there are numbers to go on with. Those of a database that was restored may be of transactions to come.
SELECT coalesce(bool_and(pg_snapshot_xmax(snapshot) <= pg_snapshot_xmax(pg_current_snapshot())), false) FROM event_numbers

-- name: begin_numbers
-- In microseconds since 1970: behind all that there ever were, so that a number is used once.
INSERT INTO event_numbers (round, first, last, snapshot, xids, seqs)
SELECT 1, m.now, m.now - 1, pg_current_snapshot(), '{}', '{}'
FROM (SELECT (date_part('epoch', now()) * 1000000)::bigint AS now) AS m

-- name: number_events
-- Numbers what has become visible since the snapshot of the last numbers: of transactions that began later, or ran then.
-- In the order in which the rows were written, which for one job is that of its changes, as its row is locked meanwhile.
-- Returns the slot, and how many were numbered; without any, a row is added only where the slot is another one, so that
-- the last numbers are never forgotten.
WITH prior AS MATERIALIZED (
  SELECT round, last, snapshot, slot FROM event_numbers ORDER BY last DESC, round DESC LIMIT 1
), found AS MATERIALIZED (
  SELECT array_agg(f.xid ORDER BY f.seq) AS xids, array_agg(f.seq ORDER BY f.seq) AS seqs, count(*) AS count FROM (
    SELECT e.xid, e.seq FROM prior p CROSS JOIN LATERAL (
      SELECT xid, seq FROM events
      WHERE xid >= pg_snapshot_xmax(p.snapshot) AND xid < pg_snapshot_xmax(pg_current_snapshot())) AS e
    UNION ALL
    SELECT e.xid, e.seq FROM prior p CROSS JOIN LATERAL pg_snapshot_xip(p.snapshot) AS x (xid)
      JOIN events e ON e.xid = x.xid) AS f
), numbered AS (
  INSERT INTO event_numbers (round, first, last, snapshot, xids, seqs)
  SELECT p.round + 1, p.last + 1, p.last + f.count, pg_current_snapshot(), coalesce(f.xids, '{}'), coalesce(f.seqs, '{}')
  FROM prior p, found f
  WHERE f.count > 0 OR p.slot <> mod(date_part('epoch', now())::bigint / 120, 8)
  RETURNING slot, cardinality(xids) AS count
)
SELECT slot, count, CASE WHEN count > 0 THEN pg_notify('copilot_events', '') END FROM numbered

-- name: forget_events
-- Empties a slot of the ring.
SELECT copilot_forget_events('events'::regclass, %(slot)s)

-- name: event_slots
-- The slots of the ring with their size in bytes, the present one last.
SELECT slot, pg_total_relation_size(('events_' || slot)::regclass) + pg_total_relation_size(('event_numbers_' || slot)::regclass)
FROM (SELECT mod(date_part('epoch', now())::bigint / 120 + 1 + n, 8) AS slot, n FROM generate_series(0, 7) AS n) AS s ORDER BY n

-- name: last_event
-- The number of the last row.
SELECT last FROM event_numbers ORDER BY last DESC, round DESC LIMIT 1

-- name: events_after
-- The next rows behind a number; without changes where they are lost.
SELECT n.first + s.ord - 1 AS number, e.at, e.changes
FROM (SELECT first, last, xids, seqs FROM event_numbers WHERE last > %(after)s ORDER BY last LIMIT %(limit)s) AS n
CROSS JOIN LATERAL unnest(n.xids, n.seqs) WITH ORDINALITY AS s (xid, seq, ord)
LEFT JOIN LATERAL (SELECT at, changes FROM events WHERE xid = s.xid AND seq = s.seq LIMIT 1) AS e ON true
WHERE n.first + s.ord - 1 > %(after)s
ORDER BY number LIMIT %(limit)s
