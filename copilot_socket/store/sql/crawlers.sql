-- Crawlers, their connections, and the assignments that they hold.

-- name: crawlers_present
-- Presence and capacity of crawlers. A hello or a report does not change the node that serves a crawler: that is the
-- one which received its last job request.
INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain, commands,
                      version)
SELECT key, crawler_id, %(node)s, now() + %(lease)s * interval '1 second', max_jobs,
       ARRAY(SELECT json_array_elements_text(entity_types::json)), plain, commands, version
FROM unnest(%(key)s::text[], %(crawler_id)s::text[], %(max_jobs)s::integer[], %(entity_types)s::text[],
            %(plain)s::boolean[], %(commands)s::boolean[], %(version)s::text[])
  AS t (key, crawler_id, max_jobs, entity_types, plain, commands, version)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
  crawler_id = excluded.crawler_id, lease_expires_at = excluded.lease_expires_at,
  max_jobs = excluded.max_jobs, entity_types = excluded.entity_types, plain = excluded.plain,
  commands = excluded.commands, version = excluded.version, suspected_at = NULL

-- name: crawlers_absent
-- Ends the leases of crawlers that are gone: the grace begins now. A crawler that is connected to another live node
-- keeps its lease, which that node renews.
UPDATE crawlers c SET lease_expires_at = now()
WHERE c.key = ANY (%(key)s) AND c.lease_expires_at > now()
  AND NOT EXISTS (
    SELECT FROM socket_connections s JOIN nodes n ON n.id = s.node_id AND n.lease_expires_at > now()
    WHERE s.crawler_key = c.key AND s.is_active AND s.node_id <> %(node)s)

-- name: connections_seen
-- Connections that were opened, identified or closed.
INSERT INTO socket_connections (id, crawler_id, crawler_key, node_id, is_active, metadata, ended_at, last_heartbeat,
                                system_status)
SELECT id, crawler_id, crawler_key, %(node)s, is_active, metadata, CASE WHEN NOT is_active THEN now() END,
       now() - silent * interval '1 second', system_status
FROM unnest(%(id)s::text[], %(crawler_id)s::text[], %(crawler_key)s::text[], %(is_active)s::boolean[],
            %(silent)s::float8[], %(system_status)s::text[], %(metadata)s::jsonb[])
  AS t (id, crawler_id, crawler_key, is_active, silent, system_status, metadata)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET
  crawler_id = excluded.crawler_id, crawler_key = excluded.crawler_key, is_active = excluded.is_active,
  active_jobs = CASE WHEN excluded.is_active THEN socket_connections.active_jobs ELSE '{}' END,
  metadata = socket_connections.metadata || excluded.metadata, ended_at = excluded.ended_at,
  last_heartbeat = coalesce(excluded.last_heartbeat, socket_connections.last_heartbeat),
  system_status = coalesce(excluded.system_status, socket_connections.system_status)

-- name: connections_alive
-- The state of connections, for people to read. NULL leaves a column as it is.
UPDATE socket_connections s SET
  last_heartbeat = coalesce(now() - t.silent * interval '1 second', s.last_heartbeat),
  active_jobs = coalesce(string_to_array(nullif(t.jobs, ''), ','), '{}'),
  system_status = coalesce(t.system_status, s.system_status),
  metadata = s.metadata || t.metadata
FROM unnest(%(id)s::text[], %(silent)s::float8[], %(jobs)s::text[], %(system_status)s::text[], %(metadata)s::jsonb[])
  AS t (id, silent, jobs, system_status, metadata)
WHERE s.id = t.id

-- name: held_by
-- The live assignments of one crawler, whether each has a report, and its account's token.
SELECT a.crawler_job_id, a.reported_at IS NOT NULL, t.id, t.gitlab_url, t.access_token
FROM job_assignments a JOIN accounts t ON t.id = a.account_id
WHERE a.crawler_key = %(key)s AND a.completed_at IS NULL ORDER BY a.web_app_job_id

-- name: held_by_all
-- The live assignments of these crawlers.
SELECT crawler_key, array_agg(crawler_job_id ORDER BY web_app_job_id) FROM job_assignments
WHERE crawler_key = ANY (%(key)s) AND completed_at IS NULL GROUP BY crawler_key

-- name: must_confirm
-- Sets deadlines for crawlers that are back: their assignments are released unless reports confirm them by then.
UPDATE job_assignments a SET confirm_by = now() + t.within * interval '1 second'
FROM unnest(%(key)s::text[], %(within)s::float8[]) AS t (key, within)
WHERE a.crawler_key = t.key AND a.completed_at IS NULL AND a.confirm_by IS NULL

-- name: confirm
-- Clears the deadline of assignments that their crawler has confirmed.
UPDATE job_assignments SET confirm_by = NULL
WHERE web_app_job_id = ANY (%(job)s) AND crawler_job_id = ANY (%(assignment)s) AND completed_at IS NULL
  AND confirm_by IS NOT NULL

-- name: not_ours
-- Those of these crawlers whose last job request went to another node.
SELECT key FROM crawlers WHERE key = ANY (%(key)s) AND node_id <> %(node)s

-- name: set_crawler_mode
-- For all identities that are shown by this id; their nodes are notified. Returns the former modes: the lock comes
-- first, or they would be those before a concurrent change.
WITH former AS (
  SELECT key, mode FROM crawlers WHERE crawler_id = %(crawler)s ORDER BY key FOR NO KEY UPDATE
), changed AS (
  UPDATE crawlers c SET mode = %(mode)s, mode_at = now() FROM former b
  WHERE c.key = b.key RETURNING c.key, b.mode AS was
)
SELECT was, pg_notify('copilot_crawlers', json_build_array(key, %(mode)s::text)::text) FROM changed

-- name: suspect_crawler
-- One identity fails everything, or does no more.
UPDATE crawlers SET suspected_at = CASE WHEN %(suspected)s THEN now() END WHERE key = %(key)s

-- name: shut_down_crawler
-- Those that are connected are asked to exit.
SELECT key, pg_notify('copilot_crawlers', json_build_array(key, 'shutdown')::text) FROM crawlers
WHERE crawler_id = %(crawler)s AND lease_expires_at > now()

-- name: crawler_known
-- Whether there is such a crawler, connected or not.
SELECT true FROM crawlers WHERE crawler_id = %(crawler)s LIMIT 1

-- name: crawler_mode
-- Of one identity.
SELECT mode FROM crawlers WHERE key = %(key)s

-- name: own_crawler
-- Gives an identity to an owner; a row if it belongs to that one now. Another one's is free when the grace after its
-- lease is over and it holds nothing any more.
WITH owned AS (
  SELECT FROM crawlers WHERE key = %(key)s AND owner = %(owner)s AND lease_expires_at > now()
), taken AS (
  INSERT INTO crawlers AS c (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain, owner)
  SELECT %(key)s, %(crawler)s, %(node)s, now() + %(lease)s * interval '1 second', 1, '{}', false, %(owner)s
  WHERE NOT EXISTS (SELECT FROM owned)
  ON CONFLICT (key) DO UPDATE SET
    owner = excluded.owner, lease_expires_at = greatest(c.lease_expires_at, excluded.lease_expires_at)
  WHERE c.owner IS NULL OR c.owner = excluded.owner
    OR c.lease_expires_at + %(grace)s * interval '1 second' <= now() AND NOT EXISTS (
      SELECT FROM job_assignments a WHERE a.crawler_key = c.key AND a.completed_at IS NULL)
  RETURNING key
)
SELECT true FROM owned UNION ALL SELECT true FROM taken

-- name: crawlers_of_others
-- Those of these crawlers that belong to another owner than the one given.
SELECT key FROM crawlers c JOIN unnest(%(key)s::text[], %(owner)s::text[]) AS t (key, owner) USING (key)
WHERE c.owner <> t.owner

-- name: store_crawler_ends
-- How many attempts of crawlers a node has seen end in a slice of time, so far, for each cause. It replaces what was
-- stored before, so that it may be repeated.
INSERT INTO crawler_ends AS e (crawler_key, at, node_id, cause, attempts, ran, seconds)
SELECT crawler, to_timestamp(at), %(node)s, cause, attempts, ran, seconds
FROM unnest(%(crawler)s::text[], %(at)s::float8[], %(cause)s::text[], %(attempts)s::bigint[], %(ran)s::bigint[],
            %(seconds)s::float8[]) AS t (crawler, at, cause, attempts, ran, seconds)
ORDER BY crawler, at, cause
ON CONFLICT (crawler_key, at, node_id, cause) DO UPDATE SET
  attempts = excluded.attempts, ran = excluded.ran, seconds = excluded.seconds

-- name: crawler_ends
-- How the attempts of these crawlers ended in slices that began within the last hour.
SELECT crawler_key, cause::text, sum(attempts)::bigint, sum(ran)::bigint, sum(seconds)
FROM crawler_ends WHERE crawler_key = ANY (%(key)s) AND at > now() - interval '1 hour' GROUP BY crawler_key, cause
ORDER BY crawler_key, cause

-- name: crawler_assignments
-- What these crawlers hold, those that they have held for longest first: up to "most" of each. Of the progress of a job
-- no more than "bytes".
SELECT k.key, a.*
FROM unnest(%(key)s::text[]) AS k (key) CROSS JOIN LATERAL (
  SELECT a.web_app_job_id, a.crawler_job_id, j.command, j.full_path, a.account_id, a.assigned_at, a.started_at, a.reported_at,
         CASE WHEN octet_length(j.progress::text) <= %(bytes)s THEN j.progress::text END
  FROM job_assignments a LEFT JOIN jobs j ON j.id = a.web_app_job_id
  WHERE a.crawler_key = k.key AND a.completed_at IS NULL ORDER BY a.assigned_at, a.web_app_job_id LIMIT %(most)s) AS a
