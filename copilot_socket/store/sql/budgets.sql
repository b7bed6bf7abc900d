-- Budgets of requests (core/budgets.py). An empty account stands for the whole host.

-- name: budget_of_job
-- The account of a job that was handed out, and its host.
SELECT t.id, t.gitlab_origin FROM job_assignments a JOIN accounts t ON t.id = a.account_id
WHERE a.web_app_job_id = %(job)s

-- name: budget_of_account
-- An account and its host.
SELECT id, gitlab_origin FROM accounts WHERE id = %(account)s

-- name: lock_budgets
-- The budgets, made where they are not known yet. Times in seconds since the epoch.
WITH made AS (
  INSERT INTO budgets (gitlab_origin, account_id, name)
  SELECT * FROM unnest(%(origin)s::text[], %(account)s::text[], %(name)s::text[])
  ON CONFLICT (gitlab_origin, account_id, name) DO UPDATE SET updated_at = now()
  RETURNING *
)
SELECT gitlab_origin, account_id, name, "limit", remaining, coalesce(extract(epoch FROM reset_at), 0)::float8,
       coalesce(extract(epoch FROM closed_until), 0)::float8, requests_per_job, spent,
       (SELECT l.jobs_allowed FROM low_budgets l
        WHERE l.gitlab_origin = m.gitlab_origin AND l.account_id = m.account_id AND l.name = m.name),
       extract(epoch FROM now())::float8
FROM made m

-- name: store_budgets
-- What was decided of them; nodes are notified where more than a number has changed.
WITH input AS (
  SELECT * FROM unnest(%(origin)s::text[], %(account)s::text[], %(name)s::text[], %(limit)s::integer[],
                       %(remaining)s::integer[], %(reset_at)s::float8[], %(closed_until)s::float8[], %(cost)s::float8[],
                       %(spent)s::integer[], %(allowed)s::integer[], %(source)s::text[])
    AS t (origin, account, name, quota, remaining, reset_at, closed_until, cost, spent, allowed, source)
), stored AS (
  UPDATE budgets b SET
    "limit" = i.quota, remaining = i.remaining, reset_at = to_timestamp(nullif(i.reset_at, 0)),
    closed_until = to_timestamp(nullif(i.closed_until, 0)), requests_per_job = i.cost, spent = i.spent,
    jobs_allowed = i.allowed, source = i.source, updated_at = now()
  FROM input i WHERE b.gitlab_origin = i.origin AND b.account_id = i.account AND b.name = i.name
)
SELECT pg_notify('copilot_restrictions', '') WHERE %(changed)s

-- name: forget_budget
-- Forgets a budget; nodes are notified.
DELETE FROM budgets WHERE gitlab_origin = %(origin)s AND account_id = %(account)s AND name = %(name)s
RETURNING pg_notify('copilot_restrictions', '')

-- name: clean_budgets
-- Budgets of which nothing was said for a day.
WITH gone AS (
  DELETE FROM budgets WHERE ctid IN (
    SELECT ctid FROM budgets WHERE updated_at <= now() - interval '1 day'
    LIMIT %(limit)s)
  RETURNING name
)
SELECT count(*) FROM gone
