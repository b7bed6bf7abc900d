-- Reads of the dispatcher beside claims: assignments to send again, lanes, and jobs that fall due.

-- name: unreported
-- Live assignments of these crawlers without a report, with the columns of claims.
SELECT a.crawler_job_id, a.crawler_key, coalesce(r.gitlab_id::text, j.full_path, j.account_id), j.gitlab_url,
       j.resume_state, j.command, j.full_path, r.type, j.branch, a.try, j.account_id, t.access_token,
       extract(epoch FROM t.token_expires_at - now())::float8, t.credential_status, NULL::float8
FROM job_assignments a JOIN jobs j ON j.id = a.web_app_job_id JOIN accounts t ON t.id = j.account_id
LEFT JOIN areas r ON r.gitlab_origin = t.gitlab_origin AND r.full_path = j.full_path
WHERE a.crawler_key = ANY (%(key)s) AND a.completed_at IS NULL AND a.reported_at IS NULL
ORDER BY a.web_app_job_id

-- name: lanes
-- Lanes that have work, behind the given one: a loose index scan, one look-up for each lane.
WITH RECURSIVE lane AS (
  (SELECT account_id, command FROM jobs
   WHERE status = 'queued' AND ready AND (account_id, command) > (%(account)s, %(command)s)
   ORDER BY account_id, command LIMIT 1)
  UNION ALL
  SELECT n.account_id, n.command FROM lane l CROSS JOIN LATERAL (
    SELECT j.account_id, j.command FROM jobs j
    WHERE j.status = 'queued' AND j.ready AND (j.account_id, j.command) > (l.account_id, l.command)
    ORDER BY j.account_id, j.command LIMIT 1) AS n
)
SELECT l.account_id, l.command, t.weight, t.gitlab_origin FROM (SELECT * FROM lane LIMIT %(limit)s) AS l
JOIN accounts t ON t.id = l.account_id ORDER BY l.account_id, l.command

-- name: invalid_accounts
-- Accounts whose credentials do not work.
SELECT id FROM accounts WHERE credential_status <> 'valid'

-- name: promote_due
-- Makes due jobs claimable; returns their lanes, of which all nodes are notified.
WITH due AS (
  SELECT id FROM jobs WHERE status = 'queued' AND NOT ready AND pause_id IS NULL AND scheduled_at <= now()
  ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
), promoted AS (
  UPDATE jobs j SET ready = true FROM due WHERE j.id = due.id RETURNING j.account_id, j.command
), lanes AS (
  SELECT DISTINCT account_id, command FROM promoted
)
SELECT account_id, command, announced FROM lanes,
  (SELECT copilot_announce(array_agg(json_build_array(account_id, command)::text)) AS announced FROM lanes) AS all_of_them

-- name: next_due
-- Seconds until the next job falls due.
SELECT extract(epoch FROM min(scheduled_at) - now())::float8 FROM jobs
WHERE status = 'queued' AND NOT ready AND pause_id IS NULL AND scheduled_at > now()
