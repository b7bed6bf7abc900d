-- The bulk operation that has cancelled a job. Those that are there have none, so they need not be looked at.
ALTER TABLE jobs ADD COLUMN cancelled_with text;
ALTER TABLE jobs ADD CONSTRAINT jobs_cancelled_with_check CHECK (length(cancelled_with) <= 255) NOT VALID;

-- Operations as other programs may write them: those that no node could carry out, or show, go.
DELETE FROM operations WHERE jsonb_path_exists(filter, '$.** ? (@ < -9007199254740992 || @ > 9007199254740992)');
ALTER TABLE operations ADD CONSTRAINT operations_filter_check
  CHECK (NOT jsonb_path_exists(filter, '$.** ? (@ < -9007199254740992 || @ > 9007199254740992)'));

-- How many jobs, by name. Other counts are forgotten.
CREATE FUNCTION copilot_counts(value jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
  RETURN NOT jsonb_path_exists(value, 'strict $.* ? (@.type() != "number" || @ < 0 || @ > 1000000000000 || @ != @.floor())');
CREATE DOMAIN counts_by_name AS jsonb CHECK (copilot_storable(VALUE, 16777216) AND copilot_counts(VALUE));
ALTER TABLE operations
  ALTER changed TYPE counts_by_name USING CASE WHEN copilot_counts(changed) THEN changed::jsonb ELSE '{}' END,
  ALTER skipped TYPE counts_by_name USING CASE WHEN copilot_counts(skipped) THEN skipped::jsonb ELSE '{}' END;
