-- Other programs write rows too, and PostgreSQL accepts values that stop a node: infinity in a sum of times is an error
-- before version 17 and fails every statement that meets the row, Python has no year 20000, a JSON number of 5,000
-- digits or 1,000 levels of JSON can't be parsed. From now on the tables refuse these. By domains, as in 0002.

-- Depth first: the search for numbers can't go as deep as JSON may. A number that no double holds has 309 digits.
CREATE FUNCTION copilot_storable(value jsonb, longest integer) RETURNS boolean LANGUAGE sql IMMUTABLE
  RETURN jsonb_typeof(value) = 'object' AND NOT jsonb_path_exists(value, '$.**{101}')
    AND (octet_length(value::text) <= 308
         OR (octet_length(value::text) <= longest
             AND NOT jsonb_path_exists(value, '$.** ? (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308)')));

-- A scheme, a host, perhaps a path; no user name, query or fragment, no blanks or control characters.
CREATE FUNCTION copilot_server_url(url text) RETURNS boolean LANGUAGE sql IMMUTABLE
  RETURN octet_length(url) <= 2048
    AND url ~ '^https?://[^/?#@\u0001-\u0020\u007f-\u00a0]+(/[^?#\u0001-\u0020\u007f-\u00a0]*)?$';

-- Existing rows are repaired first: a value out of bounds becomes the nearest one within. A NOTICE reports each change.
CREATE FUNCTION copilot_repair(relation regclass, field text, faulty text, instead text, told text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  repaired bigint;
BEGIN
  EXECUTE format('UPDATE %s SET %I = %s WHERE %s', relation, field, instead, faulty);
  GET DIAGNOSTICS repaired = ROW_COUNT;
  IF repaired > 0 THEN
    RAISE NOTICE '%.%: changed in % row(s), where it was out of bounds, to %', relation, field, repaired,
      coalesce(told, instead);
  END IF;
END
$$;

-- The same server, without trailing blanks, user name, query and fragment; never another server: tokens are sent there.
CREATE FUNCTION copilot_repaired_url(url text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN copilot_server_url(repaired) THEN repaired ELSE 'https://gitlab.invalid' END
  FROM regexp_replace(url, '[\u0001-\u0020\u007f-\u00a0]+$', '') AS trimmed,
       regexp_replace(trimmed, '[?#].*', '') AS bare,
       regexp_replace(bare, '^(https?://)[^/]*@', '\1') AS repaired
$$;

-- Without blanks and control characters; NULL if nothing usable is left.
CREATE FUNCTION copilot_repaired_token(token text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN octet_length(repaired) BETWEEN 1 AND 16384 THEN repaired END
  FROM regexp_replace(token, '[^!-~]', '', 'g') AS repaired
$$;

SELECT copilot_repair(attrelid, attname, format('%1$I NOT BETWEEN %2$L AND %3$L', attname, earliest, latest),
                      format('least(greatest(%1$I, %2$L), %3$L)', attname, earliest, latest),
                      format('%s or %s', earliest, latest))
FROM (VALUES ('2000-01-01 00:00:00+00', '2199-12-31 23:59:59+00')) AS range (earliest, latest), pg_attribute
WHERE attrelid = ANY ('{accounts, area_authorizations, areas, audit_log, crawlers, idempotency_keys, job_assignments,
                        job_error_log, job_past_tries, jobs, nodes, socket_connections}'::regclass[])
  AND atttypid = 'timestamptz'::regtype AND NOT attisdropped;

SELECT copilot_repair(relation, field, format('NOT copilot_storable(%I, %s)', field, longest), instead)
FROM (VALUES ('audit_log'::regclass, 'details', 16777216, '''{}'''), ('idempotency_keys', 'answer', 16777216, '''{}'''),
             ('job_assignments', 'metadata', 16777216, '''{}'''), ('job_error_log', 'context', 16777216, 'NULL'),
             ('jobs', 'progress', 16777216, '''{}'''), ('jobs', 'resume_state', 131072, 'NULL'),
             ('socket_connections', 'metadata', 16777216, '''{}''')) AS objects (relation, field, longest, instead);

SELECT copilot_repair(relation, field, format('%I NOT BETWEEN %s AND 1000000000', field, lowest),
                      format('least(greatest(%I, %s), 1000000000)', field, lowest), format('%s or 1000000000', lowest))
FROM (VALUES ('accounts'::regclass, 'token_generation', 1), ('crawlers', 'max_jobs', 0), ('jobs', 'attempts', 0),
             ('jobs', 'releases', 0), ('jobs', 'tries', 0)) AS counters (relation, field, lowest);

SELECT copilot_repair(relation, 'gitlab_url', 'NOT copilot_server_url(gitlab_url)', 'copilot_repaired_url(gitlab_url)',
                      'the URL of the same server, or https://gitlab.invalid')
FROM (VALUES ('accounts'::regclass), ('jobs')) AS urls (relation);

SELECT copilot_repair('accounts', 'credential_status', 'copilot_repaired_token(access_token) IS NULL', '''expired'''),
       copilot_repair('accounts', 'access_token',
                      'access_token IS DISTINCT FROM copilot_repaired_token(access_token)',
                      'coalesce(copilot_repaired_token(access_token), ''none'')',
                      'the same without blanks and control characters'),
       copilot_repair('accounts', 'refresh_token',
                      'refresh_token IS DISTINCT FROM copilot_repaired_token(refresh_token)',
                      'copilot_repaired_token(refresh_token)', 'the same without blanks and control characters'),
       copilot_repair('areas', 'name', 'octet_length(name) > 4096', 'left(name, 1024)', 'its first 1024 characters');

DELETE FROM idempotency_keys
WHERE (jsonb_typeof(answer -> 'ids') = 'array' AND jsonb_typeof(answer -> 'created') = 'array') IS NOT TRUE;

DROP FUNCTION copilot_repair, copilot_repaired_url, copilot_repaired_token;

CREATE DOMAIN bounded_timestamptz AS timestamptz
  CHECK (VALUE >= '2000-01-01 00:00:00+00' AND VALUE < '2200-01-01 00:00:00+00');
CREATE DOMAIN stored_token AS text CHECK (octet_length(VALUE) BETWEEN 1 AND 16384 AND VALUE ~ '^[!-~]+$');
-- 64 KiB as a crawler sends it: PostgreSQL writes a blank after each comma and colon.
CREATE DOMAIN resume_state AS jsonb CONSTRAINT object_of_128_kib_and_100_levels CHECK (copilot_storable(VALUE, 131072));
ALTER DOMAIN jsonb_mapping DROP CONSTRAINT jsonb_mapping_check;
ALTER DOMAIN jsonb_mapping ADD CONSTRAINT object_of_16_mib_and_100_levels CHECK (copilot_storable(VALUE, 16777216));
ALTER DOMAIN http_url DROP CONSTRAINT http_url_check;
ALTER DOMAIN http_url ADD CONSTRAINT url_of_a_server CHECK (copilot_server_url(VALUE));
-- Where counters stop: one more is still an integer.
ALTER DOMAIN natural_number ADD CONSTRAINT natural_number_bound CHECK (VALUE <= 1000000000);

DROP TRIGGER jobs_complete_new ON jobs;
DROP VIEW job_tries;
ALTER TABLE accounts
  DROP CONSTRAINT accounts_gitlab_url_check, ALTER gitlab_url TYPE http_url,
  ALTER access_token TYPE stored_token, ALTER refresh_token TYPE stored_token,
  ADD CONSTRAINT accounts_token_generation_check CHECK (token_generation BETWEEN 1 AND 1000000000),
  ALTER token_expires_at TYPE bounded_timestamptz, ALTER refresh_until TYPE bounded_timestamptz,
  ALTER created_at TYPE bounded_timestamptz, ALTER updated_at TYPE bounded_timestamptz;
ALTER TABLE area_authorizations ALTER created_at TYPE bounded_timestamptz;
ALTER TABLE areas
  ADD CONSTRAINT areas_name_check CHECK (octet_length(name) <= 4096),
  ALTER created_at TYPE bounded_timestamptz;
ALTER TABLE audit_log ALTER details TYPE jsonb_mapping, ALTER timestamp TYPE bounded_timestamptz;
ALTER TABLE crawlers
  ALTER max_jobs TYPE natural_number, ALTER lease_expires_at TYPE bounded_timestamptz,
  ALTER first_seen TYPE bounded_timestamptz;
ALTER TABLE idempotency_keys
  ALTER answer TYPE jsonb_mapping,
  ADD CONSTRAINT idempotency_keys_answer_check CHECK (
    answer = '{}' OR (jsonb_typeof(answer -> 'ids') = 'array' AND jsonb_typeof(answer -> 'created') = 'array') IS TRUE),
  ALTER created_at TYPE bounded_timestamptz;
ALTER TABLE job_assignments
  ALTER metadata TYPE jsonb_mapping,
  ALTER created_at TYPE bounded_timestamptz, ALTER assigned_at TYPE bounded_timestamptz,
  ALTER completed_at TYPE bounded_timestamptz, ALTER started_at TYPE bounded_timestamptz,
  ALTER reported_at TYPE bounded_timestamptz, ALTER confirm_by TYPE bounded_timestamptz,
  ALTER credential_refused_at TYPE bounded_timestamptz;
ALTER TABLE job_error_log ALTER context TYPE jsonb_mapping, ALTER timestamp TYPE bounded_timestamptz;
ALTER TABLE job_past_tries
  ALTER assigned_at TYPE bounded_timestamptz, ALTER started_at TYPE bounded_timestamptz,
  ALTER ended_at TYPE bounded_timestamptz;
ALTER TABLE jobs
  ALTER resume_state TYPE resume_state,
  ALTER created_at TYPE bounded_timestamptz, ALTER updated_at TYPE bounded_timestamptz,
  ALTER started_at TYPE bounded_timestamptz, ALTER finished_at TYPE bounded_timestamptz,
  ALTER scheduled_at TYPE bounded_timestamptz;
ALTER TABLE nodes ALTER started_at TYPE bounded_timestamptz, ALTER lease_expires_at TYPE bounded_timestamptz;
ALTER TABLE socket_connections
  ALTER metadata TYPE jsonb_mapping,
  ALTER connected_at TYPE bounded_timestamptz, ALTER last_heartbeat TYPE bounded_timestamptz,
  ALTER ended_at TYPE bounded_timestamptz;
CREATE VIEW job_tries AS
  SELECT job_id, try, crawler_job_id, crawler_key, assigned_at, started_at, ended_at, outcome, reason
  FROM job_past_tries
  UNION ALL
  SELECT web_app_job_id::text, try, crawler_job_id, crawler_key, assigned_at, started_at, completed_at, outcome, reason
  FROM job_assignments WHERE outcome IS NOT NULL;
CREATE TRIGGER jobs_complete_new BEFORE INSERT ON jobs FOR EACH ROW
  WHEN (NEW.provider IS NULL OR NEW.gitlab_url IS NULL OR NEW.full_path IS NULL OR NEW.scheduled_at > now()
        OR (NEW.status <> 'queued' AND NOT (NEW.status = 'assigned' AND copilot_hands_out())))
  EXECUTE FUNCTION copilot_complete_new_job();
