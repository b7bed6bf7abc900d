-- Fingerprints of the node's secret keys, newest first; NULL: a version that does not say.
ALTER TABLE nodes ADD COLUMN key_fingerprints text[];
