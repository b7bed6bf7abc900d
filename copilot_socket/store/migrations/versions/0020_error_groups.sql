-- What equal failures have in common (core/fingerprints.py). Errors logged before have none, and are in no group.
CREATE DOMAIN error_fingerprint AS text CHECK (VALUE ~ '^[0-9a-f]{16}$');
ALTER TABLE job_error_log ADD COLUMN fingerprint error_fingerprint;
CREATE INDEX idx_job_error_log_fingerprint ON job_error_log (fingerprint, id) WHERE fingerprint IS NOT NULL;

-- Of a job: that of its last failure, until it completes or is retried by hand.
ALTER TABLE jobs ADD COLUMN error error_fingerprint;
CREATE INDEX idx_jobs_error ON jobs (error, id) WHERE error IS NOT NULL;
-- For counting and retrying the failed ones: of an outage, very many jobs that are queued again have the same error.
CREATE INDEX idx_jobs_error_failed ON jobs (error, id) WHERE status = 'failed' AND error IS NOT NULL;

-- The errors with one fingerprint, and how many there were: "text" is their normalised message. "errors_at_retry" is
-- how many there were when somebody retried all of their jobs; NULL: nobody has.
CREATE TABLE error_groups (
  fingerprint     error_fingerprint PRIMARY KEY,
  error_type      text CHECK (length(error_type) <= 255),
  command         job_command NOT NULL,
  text            text NOT NULL CHECK (length(text) <= 500),
  first_at        bounded_timestamptz NOT NULL DEFAULT now(),
  last_at         bounded_timestamptz NOT NULL DEFAULT now(),
  errors          natural_number NOT NULL,
  ignored_at      bounded_timestamptz,
  ignored_by      short_name,
  retried_at      bounded_timestamptz,
  retried_by      short_name,
  errors_at_retry natural_number
);
CREATE INDEX idx_error_groups_last ON error_groups (last_at, fingerprint);

-- How many errors of a group an account had in an hour.
CREATE TABLE error_counts (
  fingerprint error_fingerprint,
  hour        bounded_timestamptz,
  account_id  text CHECK (octet_length(account_id) <= 1020),
  errors      natural_number NOT NULL,
  PRIMARY KEY (fingerprint, hour, account_id)
);
CREATE INDEX idx_error_counts_hour ON error_counts (hour);
