-- Indexes for areas by path and by the time when they were found, and for the last discovery of each account. The latter
-- has no entry for other jobs, so that these cost no more than before.

CREATE INDEX idx_areas_path ON areas (full_path COLLATE "C", gitlab_origin);
CREATE INDEX idx_areas_created ON areas (created_at, gitlab_origin, full_path);
CREATE INDEX idx_jobs_discovery ON jobs (account_id, status, finished_at) WHERE command = 'GROUP_PROJECT_DISCOVERY';
