-- What restricts dispatch: pauses, limits of running jobs, and budgets.

-- name: restrictions
-- All that is in force, the revision of it, and the seconds until time changes it.
SELECT coalesce((SELECT revision FROM restriction_changes), 0),
       (SELECT coalesce(json_agg(json_build_array(p.id, p.scope, p.target)), '[]') FROM pauses p
        WHERE coalesce(p.ends_at, 'infinity') > now()),
       (SELECT coalesce(json_agg(json_build_array(c.scope, c.target, c.most)), '[]')
        FROM (SELECT scope, target, min(max_running) AS most FROM running_caps GROUP BY scope, target) AS c),
       (SELECT extract(epoch FROM min(t.at) - now())::float8 FROM (
          SELECT min(ends_at) AS at FROM pauses WHERE ends_at > now()
          UNION ALL SELECT min(until) FROM low_budgets) AS t)

-- name: restrictions_seen
-- This node acts on them.
UPDATE nodes SET restrictions_seen = %(revision)s WHERE id = %(node)s AND restrictions_seen < %(revision)s

-- name: restrictions_change
-- Counts a change; its lock makes others wait until it is committed, so that revisions are committed in their order.
INSERT INTO restriction_changes AS c DEFAULT VALUES ON CONFLICT (id) DO UPDATE SET revision = c.revision + 1
RETURNING revision, pg_notify('copilot_restrictions', '')

-- name: restrictions_unseen
-- Live nodes that do not act on this change yet.
SELECT id FROM nodes WHERE lease_expires_at > now() AND restrictions_seen < %(revision)s ORDER BY id

-- name: pause_matches
-- Whether there is anything that such a pause would cover.
SELECT CASE %(scope)s
  WHEN 'account' THEN EXISTS (SELECT FROM accounts WHERE id = %(target)s)
  WHEN 'host' THEN EXISTS (SELECT FROM accounts WHERE gitlab_origin = %(target)s)
  WHEN 'path_prefix' THEN
    EXISTS (SELECT FROM areas WHERE full_path = %(target)s OR starts_with(full_path, %(target)s || '/'))
    OR EXISTS (SELECT FROM jobs WHERE starts_with(btrim(full_path, '/') || '/', %(target)s || '/'))
  ELSE true END

-- name: pause_add
-- Unless there is one like it.
INSERT INTO pauses (scope, target, reason, author, ends_at, mark_after)
VALUES (%(scope)s, %(target)s, %(reason)s, %(author)s, %(ends_at)s, CASE %(scope)s WHEN 'path_prefix' THEN '' END)
ON CONFLICT DO NOTHING RETURNING id, scope, target, reason, author, created_at, ends_at

-- name: pause_like
-- The pause with this scope and target.
SELECT id FROM pauses WHERE scope = %(scope)s AND coalesce(target, '') = coalesce(%(target)s, '')

-- name: pause_end
-- Ends a pause: by its id, or that of everything.
DELETE FROM pauses WHERE id = %(id)s OR (%(id)s IS NULL AND scope = 'everything')
RETURNING id, scope, target, reason, author, created_at, ends_at

-- name: pauses_expire
-- Ends pauses whose time is over.
DELETE FROM pauses WHERE ends_at <= now() RETURNING id, scope, target

-- name: pause_to_mark
-- The pause of a path prefix whose jobs are to be marked next; one node at a time does so.
SELECT id, target, mark_after FROM pauses WHERE mark_after IS NOT NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: pause_mark
-- Marks the jobs that it covers among the next "limit", and keeps the place; the last job looked at, NULL at the end.
WITH page AS (
  SELECT id, full_path FROM jobs WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
), covered AS MATERIALIZED (
  SELECT j.id FROM page g JOIN jobs j ON j.id = g.id
  WHERE (g.full_path = %(target)s OR starts_with(g.full_path, %(target)s || '/'))
    AND j.pause_id IS NULL AND j.status NOT IN ('completed', 'failed', 'cancelled')
  ORDER BY j.id FOR NO KEY UPDATE OF j SKIP LOCKED
), marked AS (
  UPDATE jobs j SET pause_id = %(id)s, ready = false FROM covered c WHERE j.id = c.id
)
UPDATE pauses SET mark_after = (SELECT max(id)::text FROM page) WHERE id = %(id)s RETURNING mark_after

-- name: pause_mark_these
-- Marks jobs that a pause covers and that were not marked when they were inserted or looked at.
UPDATE jobs j SET pause_id = p.id, ready = false
FROM unnest(%(job)s::text[], %(pause)s::text[]) AS i (job, pause) JOIN pauses p ON p.id = i.pause
WHERE j.id = i.job AND j.pause_id IS NULL AND j.status NOT IN ('completed', 'failed', 'cancelled')

-- name: pause_unmark
-- Up to "limit" jobs whose pause has ended: another one that covers them takes its place, or they are let go, and nodes
-- are notified of their lanes. Returns how many jobs these were.
WITH RECURSIVE mark AS (
  SELECT min(pause_id) AS id FROM jobs WHERE pause_id IS NOT NULL
  UNION ALL
  SELECT (SELECT min(j.pause_id) FROM jobs j WHERE j.pause_id > m.id) FROM mark m WHERE m.id IS NOT NULL
), ended AS (
  SELECT m.id FROM mark m WHERE m.id IS NOT NULL AND NOT EXISTS (SELECT FROM pauses p WHERE p.id = m.id)
), chosen AS MATERIALIZED (
  SELECT j.id FROM ended e JOIN jobs j ON j.pause_id = e.id ORDER BY j.pause_id, j.id LIMIT %(limit)s
  FOR NO KEY UPDATE OF j SKIP LOCKED
), other AS (
  SELECT c.id, (SELECT p.id FROM pauses p WHERE p.scope = 'path_prefix'
                AND (j.full_path = p.target OR starts_with(j.full_path, p.target || '/')) LIMIT 1) AS pause
  FROM chosen c JOIN jobs j ON j.id = c.id
), unmarked AS (
  UPDATE jobs j SET pause_id = o.pause, ready = o.pause IS NULL AND j.scheduled_at <= now()
  FROM other o WHERE j.id = o.id
  RETURNING CASE WHEN j.ready AND j.status = 'queued' THEN json_build_array(j.account_id, j.command)::text END AS lane
)
SELECT (SELECT count(*) FROM unmarked), copilot_announce((SELECT array_agg(lane) FROM unmarked))

-- name: limit_host
-- Sets or removes the limit of a host that some account is at; returns the former one.
INSERT INTO hosts (origin, max_running)
SELECT DISTINCT gitlab_origin, %(max_running)s::integer FROM accounts WHERE gitlab_origin = %(origin)s
ON CONFLICT (origin) DO UPDATE SET max_running = excluded.max_running
RETURNING (SELECT b.max_running FROM hosts b WHERE b.origin = %(origin)s)
