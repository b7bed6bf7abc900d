-- GitLab hosts, by the origin of their URLs (core/host_holds.py).

-- name: hosts_succeeded
-- Jobs of these accounts have been completed; returns the hosts that were held back until now.
WITH succeeded AS (
  SELECT DISTINCT gitlab_origin COLLATE "C" AS origin FROM accounts WHERE id = ANY (%(account)s)
), held AS (
  SELECT h.origin FROM hosts h JOIN succeeded s ON s.origin = h.origin
  WHERE h.held_since IS NOT NULL ORDER BY h.origin FOR UPDATE OF h
), stored AS (
  INSERT INTO hosts (origin, last_success_at) SELECT origin, now() FROM succeeded ORDER BY origin
  ON CONFLICT (origin) DO UPDATE SET last_success_at = excluded.last_success_at, failures = '{}', probes = 0,
    released_at = CASE WHEN hosts.held_since IS NULL THEN hosts.released_at ELSE now() END,
    held_since = NULL, opens_at = NULL, probe_until = NULL
)
SELECT origin FROM held

-- name: lock_hosts
-- The hosts, made where they are not known yet. Times in seconds since the epoch.
WITH made AS (
  INSERT INTO hosts (origin) SELECT unnest(%(origin)s::text[]) ON CONFLICT (origin) DO UPDATE SET origin = excluded.origin
  RETURNING origin, failures, last_success_at, held_since, probes, opens_at
)
SELECT origin, failures, extract(epoch FROM last_success_at)::float8, extract(epoch FROM held_since)::float8, probes,
       extract(epoch FROM opens_at)::float8, (SELECT count(*) FROM crawlers WHERE lease_expires_at > now())
FROM made

-- name: store_hosts
-- What was decided of them.
UPDATE hosts h SET
  failures = i.failures, probes = i.probes, held_since = to_timestamp(i.held_since), opens_at = to_timestamp(i.opens_at),
  probe_until = NULL,
  released_at = CASE WHEN h.held_since IS NOT NULL AND i.held_since IS NULL THEN now() ELSE h.released_at END
FROM unnest(%(origin)s::text[], %(failures)s::jsonb[], %(probes)s::integer[], %(held_since)s::float8[],
            %(opens_at)s::float8[]) AS i (origin, failures, probes, held_since, opens_at)
WHERE h.origin = i.origin

-- name: held_hosts
-- Those that are held back, and whether a probe may be sent now.
SELECT origin, opens_at <= now() AND coalesce(probe_until, '-infinity') <= now()
FROM hosts WHERE held_since IS NOT NULL ORDER BY origin

-- name: accounts_of_hosts
-- Whose jobs go there.
SELECT id, gitlab_origin FROM accounts WHERE gitlab_origin = ANY (%(origin)s)

-- name: take_probe
-- One node at a time may send one, and only while none is under way: an attempt that began after the hold did, and not
-- long ago, for it may hang.
UPDATE hosts h SET probe_until = now() + %(patience)s * interval '1 second'
WHERE h.origin = %(origin)s AND h.held_since IS NOT NULL AND h.opens_at <= now()
  AND coalesce(h.probe_until, '-infinity') <= now()
  AND NOT EXISTS (SELECT FROM job_assignments a JOIN accounts t ON t.id = a.account_id
                  WHERE a.completed_at IS NULL AND t.gitlab_origin = h.origin
                    AND a.assigned_at > greatest(h.held_since, now() - interval '1 minute'))
RETURNING h.origin

-- name: hosts_reached
-- A probe that has been reporting for a while has reached its host, however long it takes; and a host that no account
-- is at any more needs no hold. Returns these hosts.
UPDATE hosts h SET held_since = NULL, probes = 0, opens_at = NULL, probe_until = NULL, failures = '{}', released_at = now()
WHERE h.held_since IS NOT NULL AND (NOT EXISTS (SELECT FROM accounts t WHERE t.gitlab_origin = h.origin) OR EXISTS (
  SELECT FROM job_assignments a JOIN accounts t ON t.id = a.account_id
  WHERE a.completed_at IS NULL AND t.gitlab_origin = h.origin AND a.assigned_at > h.held_since
    AND a.reported_at > a.assigned_at + %(while)s * interval '1 second'))
RETURNING h.origin

-- name: spread_waiting
-- Jobs that wait since their host was unavailable fall due soon after it is released, spread over a while.
WITH waiting AS (
  SELECT j.id FROM hosts h JOIN accounts t ON t.gitlab_origin = h.origin JOIN jobs j ON j.account_id = t.id
  WHERE h.released_at > now() - interval '1 minute' AND h.held_since IS NULL
    AND j.status = 'queued' AND NOT j.ready AND j.cause = 'gitlab_unavailable'
    AND j.scheduled_at > h.released_at + %(over)s * interval '1 second'
    AND j.scheduled_at < h.released_at + interval '1 hour'  -- back-off is shorter
  ORDER BY j.id LIMIT 1000 FOR UPDATE OF j SKIP LOCKED
), spread AS (
  UPDATE jobs j SET scheduled_at = h.released_at + random() * %(over)s * interval '1 second'
  FROM waiting w, accounts t, hosts h WHERE j.id = w.id AND t.id = j.account_id AND h.origin = t.gitlab_origin
  RETURNING j.id
)
SELECT count(*) FROM spread
