-- Nodes insert a row that fills a page and roll it back: that needs a new page on the disk, so that a full one shows before
-- the first report can't be stored. Nothing of it is ever to be seen, written to the WAL, replicated or restored;
-- autovacuum gives the pages back.
CREATE UNLOGGED TABLE write_probe (payload text NOT NULL);
ALTER TABLE write_probe ALTER payload SET STORAGE PLAIN;
