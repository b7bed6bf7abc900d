-- The user to whom a crawlerId belongs while its lease lasts: 'uid:1000'. NULL where no user is known.
ALTER TABLE crawlers ADD COLUMN owner text;
