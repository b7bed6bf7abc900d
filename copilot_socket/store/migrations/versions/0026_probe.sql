-- The command `probe`, whose jobs only the crawler of `copilot-socket probe` takes.

-- NOT VALID: all commands that there were are still allowed, so that no row need be read.
ALTER DOMAIN job_command DROP CONSTRAINT job_command_check;
ALTER DOMAIN job_command ADD CONSTRAINT job_command_check CHECK (VALUE IN (
  'GROUP_PROJECT_DISCOVERY', 'group', 'project', 'issues', 'mergeRequests', 'commits', 'branches', 'pipelines', 'users',
  'releases', 'groupMilestones', 'epics', 'jobs', 'mergeRequestNotes', 'probe')) NOT VALID;
