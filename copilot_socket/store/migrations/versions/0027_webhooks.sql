-- Webhooks, and what was sent to them: docs/adr/0028-webhooks.md.

CREATE DOMAIN webhook_url AS text CHECK (octet_length(VALUE) <= 2048 AND VALUE ~ '^https?://[!-~]+$');
CREATE DOMAIN webhook_events AS text[] CHECK (
  array_ndims(VALUE) = 1 AND cardinality(VALUE) <= 4 AND array_position(VALUE, NULL) IS NULL
  AND VALUE <@ '{credential.expired,crawler.quarantined,host.held,job.failed}');
CREATE DOMAIN webhook_payload AS jsonb CONSTRAINT object_of_64_kib CHECK (copilot_storable(VALUE, 65536))
  CONSTRAINT of_strings CHECK (NOT jsonb_path_exists(VALUE, 'strict $.* ? (@.type() <> "string")'));
-- One is active while "active_since" is not null: it is told of what has happened since. The former secret is valid, too,
-- until "former_secret_until".
CREATE TABLE webhooks (
  id                  job_id PRIMARY KEY DEFAULT copilot_ulid(),
  url                 webhook_url NOT NULL,
  events              webhook_events NOT NULL,
  description         text CHECK (length(description) BETWEEN 1 AND 1000),
  secret              stored_token NOT NULL,
  former_secret       stored_token,
  former_secret_until bounded_timestamptz,
  active_since        bounded_timestamptz DEFAULT now(),
  created_at          bounded_timestamptz NOT NULL DEFAULT now(),
  created_by          text NOT NULL CHECK (length(created_by) <= 1000)
);
-- What is "leased_until" later than now is being sent by a node.
CREATE TABLE webhook_deliveries (
  id           job_id PRIMARY KEY DEFAULT copilot_ulid(),
  webhook_id   job_id NOT NULL REFERENCES webhooks ON DELETE CASCADE,
  event        text NOT NULL CHECK (length(event) BETWEEN 1 AND 100),
  occurred_at  bounded_timestamptz NOT NULL DEFAULT now(),
  payload      webhook_payload NOT NULL DEFAULT '{}',
  status       text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
  attempts     natural_number NOT NULL DEFAULT 0,
  next_at      bounded_timestamptz NOT NULL DEFAULT now(),
  leased_until bounded_timestamptz,
  status_code  integer CHECK (status_code BETWEEN 100 AND 999),
  error        text CHECK (length(error) BETWEEN 1 AND 500),
  created_at   bounded_timestamptz NOT NULL DEFAULT now(),
  delivered_at bounded_timestamptz
);
CREATE INDEX idx_webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX idx_webhook_deliveries_pending ON webhook_deliveries (webhook_id, next_at, id) WHERE status = 'pending';
CREATE INDEX idx_webhook_deliveries_created ON webhook_deliveries (created_at);

-- One row, made when it is needed: the number of the last row of live events of which deliveries were made; NULL: of none.
CREATE TABLE webhook_place (
  id     integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  number bigint CHECK (number BETWEEN 0 AND 1000000000000000000)
);
