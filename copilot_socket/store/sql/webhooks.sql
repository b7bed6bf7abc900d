-- Webhooks (docs/http.md, "Webhooks").

-- name: active_webhooks
-- Those that are told of what happens.
SELECT id, events::text[] FROM webhooks WHERE active_since IS NOT NULL ORDER BY id LIMIT %(limit)s

-- name: begin_place
-- Before a webhook becomes active and there is no other: what it is told of comes behind the present.
INSERT INTO webhook_place AS p (number) SELECT max(last) FROM event_numbers
ON CONFLICT (id) DO UPDATE SET number = greatest(p.number, excluded.number)
WHERE NOT EXISTS (SELECT FROM webhooks WHERE active_since IS NOT NULL)

-- name: add_webhook
-- No row where there are too many. The secret follows, since it is bound to the id.
INSERT INTO webhooks (url, events, description, secret, active_since, created_by)
SELECT %(url)s, %(events)s::text[], %(description)s, 'none', CASE WHEN %(active)s THEN now() END, %(created_by)s
WHERE (SELECT count(*) FROM webhooks) < %(most)s
RETURNING id

-- name: set_secret
-- Seals the secret of a new webhook.
UPDATE webhooks SET secret = %(secret)s WHERE id = %(id)s

-- name: lock_webhook
-- A webhook as it is, until the end of the transaction.
SELECT url, events::text[], description, active_since IS NOT NULL, secret FROM webhooks WHERE id = %(id)s FOR UPDATE

-- name: change_webhook
-- One that is active already stays so since then.
UPDATE webhooks SET url = %(url)s, events = %(events)s::text[], description = %(description)s,
  active_since = CASE WHEN %(active)s THEN coalesce(active_since, now()) END
WHERE id = %(id)s

-- name: rotate_secret
-- The former secret stays valid for a time.
UPDATE webhooks SET secret = %(secret)s, former_secret = %(former)s,
  former_secret_until = now() + %(seconds)s * interval '1 second'
WHERE id = %(id)s

-- name: stop_webhook
-- The receiver wants nothing any more.
UPDATE webhooks SET active_since = NULL WHERE id = %(id)s AND active_since IS NOT NULL RETURNING url

-- name: drop_pending
-- What an inactive webhook was still to be told.
UPDATE webhook_deliveries SET status = 'failed', error = 'the webhook was made inactive', leased_until = NULL
WHERE webhook_id = %(id)s AND status = 'pending'

-- name: remove_webhook
-- With its deliveries.
DELETE FROM webhooks WHERE id = %(id)s RETURNING id

-- name: notify_webhooks
-- All nodes read the active webhooks again.
SELECT pg_notify('copilot_webhooks', '')

-- name: add_ping
-- No row where the webhook is not active.
INSERT INTO webhook_deliveries (webhook_id, event)
SELECT id, 'ping' FROM webhooks WHERE id = %(id)s AND active_since IS NOT NULL FOR SHARE RETURNING id

-- name: retry_delivery
-- At once, whatever has become of it; one that is under way first ends. No row where the webhook is not active.
WITH hook AS (SELECT id FROM webhooks WHERE id = %(id)s AND active_since IS NOT NULL FOR SHARE)
UPDATE webhook_deliveries d SET status = 'pending', next_at = now(), delivered_at = NULL FROM hook h
WHERE d.id = %(delivery)s AND d.webhook_id = h.id RETURNING d.id

-- name: lock_place
-- The place, and the number of the last row; no row while another node is at it.
SELECT p.number, (SELECT last FROM event_numbers ORDER BY last DESC, round DESC LIMIT 1)
FROM webhook_place p FOR UPDATE OF p SKIP LOCKED

-- name: have_place
-- Somebody may have deleted it.
INSERT INTO webhook_place DEFAULT VALUES ON CONFLICT DO NOTHING

-- name: keep_webhook_place
-- Stores the place, with the deliveries up to there.
UPDATE webhook_place SET number = %(number)s

-- name: rows_for_webhooks
-- Of the next rows behind a number the first, the last, and those that webhooks may be told of; changes are NULL of the
-- others. "lost": its changes are. There are at most fifty rounds of numbers a second.
WITH numbered AS MATERIALIZED (
  SELECT n.first + s.ord - 1 AS number, s.xid, s.seq
  FROM (SELECT first, last, xids, seqs FROM event_numbers WHERE last > %(after)s ORDER BY last LIMIT 100) AS n
  CROSS JOIN LATERAL unnest(n.xids, n.seqs) WITH ORDINALITY AS s (xid, seq, ord)
  WHERE n.first + s.ord - 1 > %(after)s ORDER BY number LIMIT %(limit)s
), found AS MATERIALIZED (
  SELECT n.number, e.at, CASE WHEN e.changes ~ %(pattern)s THEN e.changes END AS changes, e.changes IS NULL AS lost
  FROM numbered n
  LEFT JOIN LATERAL (SELECT at, changes FROM events WHERE xid = n.xid AND seq = n.seq LIMIT 1) AS e ON true
)
SELECT number, at, changes, lost FROM found
WHERE changes IS NOT NULL OR lost OR number IN ((SELECT min(number) FROM numbered), (SELECT max(number) FROM numbered))
ORDER BY number

-- name: add_deliveries
-- Deliveries of events to the webhooks that were active when these occurred, up to a number of pending ones for each:
-- how many were made, and how many there was no room for.
WITH hook AS MATERIALIZED (
  SELECT id, events, active_since FROM webhooks WHERE active_since IS NOT NULL ORDER BY id FOR SHARE
), room AS MATERIALIZED (
  SELECT h.*, %(most)s - (SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_id = h.id AND d.status = 'pending') AS room
  FROM hook h
), due AS MATERIALIZED (
  SELECT r.id, e.event, e.at, e.payload, r.room, row_number() OVER (PARTITION BY r.id ORDER BY e.number) AS place
  FROM unnest(%(event)s::text[], %(at)s::timestamptz[], %(payload)s::text[]) WITH ORDINALITY AS e (event, at, payload, number)
  JOIN room r ON e.event = ANY (r.events) AND r.active_since <= e.at
), made AS (
  INSERT INTO webhook_deliveries (webhook_id, event, occurred_at, payload)
  SELECT id, event, at, payload::jsonb FROM due WHERE place <= room ORDER BY place RETURNING id
)
SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM due WHERE place > room)

-- name: take_deliveries
-- The next due delivery of each of these webhooks, leased to this node.
WITH due AS MATERIALIZED (
  SELECT d.id FROM unnest(%(webhooks)s::text[]) AS w (id) CROSS JOIN LATERAL (
    SELECT d.id FROM webhook_deliveries d
    WHERE d.webhook_id = w.id AND d.status = 'pending' AND d.next_at <= now()
      AND (d.leased_until IS NULL OR d.leased_until <= now())
    ORDER BY d.next_at, d.id LIMIT 1 FOR UPDATE SKIP LOCKED) AS d
)
UPDATE webhook_deliveries d
SET attempts = least(d.attempts + 1, 1000000000), leased_until = now() + %(lease)s * interval '1 second'
FROM due, webhooks w
WHERE d.id = due.id AND w.id = d.webhook_id AND w.active_since IS NOT NULL
RETURNING d.id, d.webhook_id, w.url, d.event, d.occurred_at, d.payload::text, d.attempts,
  extract(epoch FROM now() - d.created_at)::float8, w.secret, CASE WHEN w.former_secret_until > now() THEN w.former_secret END

-- name: settle_delivery
-- The outcome of an attempt, unless another one has begun since.
UPDATE webhook_deliveries SET status = %(status)s, next_at = now() + %(wait)s * interval '1 second', leased_until = NULL,
  status_code = %(code)s, error = %(error)s, delivered_at = CASE WHEN %(status)s = 'delivered' THEN now() END
WHERE id = %(id)s AND attempts = %(attempts)s AND status = 'pending'

-- name: release_delivery
-- An attempt that has no outcome: another node may send it at once.
UPDATE webhook_deliveries SET leased_until = NULL WHERE id = %(id)s AND attempts = %(attempts)s AND status = 'pending'

-- name: count_deliveries
-- Pending deliveries, and the age of the oldest in seconds.
SELECT count(*), coalesce(extract(epoch FROM now() - min(d.created_at)), 0)::float8
FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id
WHERE d.status = 'pending' AND w.active_since IS NOT NULL

-- name: clean_deliveries
-- Deliveries made long ago.
WITH gone AS (
  DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries WHERE created_at <= now() - %(age)s * interval '1 second' LIMIT %(limit)s)
  RETURNING id
)
SELECT count(*) FROM gone
