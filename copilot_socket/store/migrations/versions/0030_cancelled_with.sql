-- The bulk operation that has cancelled a job. Those that are there have none, so they need not be looked at.
ALTER TABLE jobs ADD COLUMN cancelled_with text;
ALTER TABLE jobs ADD CONSTRAINT jobs_cancelled_with_check CHECK (length(cancelled_with) <= 255) NOT VALID;

-- Operations hold numbers that every program reads, and how many jobs, by name. Others, which no node wrote or could carry out, go.
DELETE FROM operations WHERE jsonb_path_exists(filter, '$.** ? (@ < -9007199254740992 || @ > 9007199254740992)')
  OR jsonb_path_exists(jsonb_build_array(changed, skipped),
                       'strict $[*].* ? (@.type() != "number" || @ < 0 || @ > 1000000000000 || @ != @.floor())');
CREATE DOMAIN counts_by_name AS jsonb CHECK (copilot_storable(VALUE, 16777216) AND NOT jsonb_path_exists(
  VALUE, 'strict $.* ? (@.type() != "number" || @ < 0 || @ > 1000000000000 || @ != @.floor())'));
ALTER TABLE operations
  ALTER changed TYPE counts_by_name, ALTER skipped TYPE counts_by_name,
  ADD CHECK (NOT jsonb_path_exists(filter, '$.** ? (@ < -9007199254740992 || @ > 9007199254740992)'));

-- Notifies nodes of lanes that have work, as copilot_announce_jobs() does: each lane once, in less than 8000 bytes each time.
CREATE FUNCTION copilot_announce(lanes text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('copilot_jobs', '[' || string_agg(lane, ',') || ']')
  FROM (SELECT lane, sum(octet_length(lane) + 1) OVER (ORDER BY lane) / 4000 AS part
        FROM (SELECT DISTINCT lane FROM unnest(lanes) AS lane WHERE lane IS NOT NULL) AS once) AS parts
  GROUP BY part;
END
$$;
