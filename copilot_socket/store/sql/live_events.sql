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
-- Numbers begin anew, with what becomes visible from now on. In microseconds since 1970: behind all that there ever were, so
-- that a number is used once, and readers see the gap.
INSERT INTO event_numbers (round, first, last, snapshot, slots, xids, seqs)
SELECT 1, m.now, m.now - 1, pg_current_snapshot(), '{}', '{}', '{}'
FROM (SELECT (date_part('epoch', clock_timestamp()) * 1000000)::bigint AS now) AS m

-- name: number_events
-- Numbers what has become visible since the snapshot of the last numbers: of transactions that began later, or ran then.
-- In the order in which the rows were written, which for one job is that of its changes, as its row is locked meanwhile.
-- Returns whether that went on from former numbers: not if there are none, or there is more than "most" to be numbered.
-- Without any events, a row is added only where the slot is another one, so that the last numbers are never forgotten.
WITH prior AS MATERIALIZED (
  SELECT round, last, snapshot, slot FROM event_numbers ORDER BY last DESC, round DESC LIMIT 1
), found AS MATERIALIZED (
  SELECT e.slot, e.xid, e.seq FROM prior p CROSS JOIN LATERAL (
    SELECT slot, xid, seq FROM events
    WHERE xid >= pg_snapshot_xmax(p.snapshot) AND xid < pg_snapshot_xmax(pg_current_snapshot())) AS e
  UNION ALL
  SELECT e.slot, e.xid, e.seq FROM prior p CROSS JOIN LATERAL pg_snapshot_xip(p.snapshot) AS x (xid)
    JOIN events e ON e.xid = x.xid
  LIMIT %(most)s + 1
), usable AS MATERIALIZED (
  SELECT p.round, p.last FROM prior p WHERE (SELECT count(*) FROM found) <= %(most)s
), parts AS (
  SELECT array_agg(f.slot ORDER BY f.nth) AS slots, array_agg(f.xid ORDER BY f.nth) AS xids,
         array_agg(f.seq ORDER BY f.nth) AS seqs, min(f.nth) AS first, max(f.nth) AS last
  FROM (SELECT *, row_number() OVER (ORDER BY seq) AS nth FROM found) AS f
  GROUP BY (f.nth - 1) / 500
), numbered AS (
  INSERT INTO event_numbers (round, first, last, snapshot, slots, xids, seqs)
  SELECT u.round + 1, u.last + p.first, u.last + p.last, pg_current_snapshot(), p.slots, p.xids, p.seqs
  FROM usable u CROSS JOIN parts p
  UNION ALL
  SELECT u.round + 1, u.last + 1, u.last, pg_current_snapshot(), '{}', '{}', '{}'
  FROM usable u WHERE NOT EXISTS (SELECT FROM found)
    AND (SELECT slot FROM prior) <> mod(date_part('epoch', now())::bigint / 120, 8)
)
SELECT EXISTS (SELECT FROM usable),
       CASE WHEN EXISTS (SELECT FROM found) AND EXISTS (SELECT FROM usable) THEN pg_notify('copilot_events', '') END

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
-- The next rows behind a number, up to "limit" and some "bytes", but one at least; without changes where they are lost.
WITH rounds AS MATERIALIZED (
  SELECT first, slots, xids, seqs FROM (
    SELECT first, slots, xids, seqs, sum(cardinality(seqs)) OVER (ORDER BY last) - cardinality(seqs) AS before
    FROM (SELECT first, last, slots, xids, seqs FROM event_numbers WHERE last > %(after)s ORDER BY last LIMIT 50) AS n) AS m
  WHERE before <= %(limit)s
), found AS (
  SELECT r.first + s.ord - 1 AS number, e.at, e.changes
  FROM rounds r CROSS JOIN LATERAL unnest(r.slots, r.xids, r.seqs) WITH ORDINALITY AS s (slot, xid, seq, ord)
  LEFT JOIN LATERAL (
    SELECT at, changes FROM events WHERE slot = s.slot AND xid = s.xid AND seq = s.seq LIMIT 1) AS e ON true
  WHERE r.first + s.ord - 1 > %(after)s
  ORDER BY number LIMIT %(limit)s
)
SELECT number, at, changes FROM (
  SELECT *, sum(octet_length(changes)) OVER (ORDER BY number) - octet_length(changes) AS before FROM found) AS f
WHERE coalesce(before, 0) <= %(bytes)s ORDER BY number
