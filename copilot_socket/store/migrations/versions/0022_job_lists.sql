-- Indexes for lists of jobs in the order of creation, by state, account or user; and by path, and by time.

DROP INDEX idx_jobs_account_status;
CREATE INDEX idx_jobs_account_status ON jobs (account_id, status, id);
CREATE INDEX idx_jobs_status ON jobs (status, id);
CREATE INDEX idx_jobs_user_status ON jobs (user_id, status, id) WHERE user_id IS NOT NULL;
CREATE INDEX idx_jobs_path ON jobs (full_path COLLATE "C", id) WHERE full_path IS NOT NULL;
CREATE INDEX idx_jobs_created ON jobs (created_at, id);
CREATE INDEX idx_jobs_finished ON jobs (finished_at, id) WHERE finished_at IS NOT NULL;
