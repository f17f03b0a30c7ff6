-- One endpoint of the API v2.0 is up to three here, one for each interface, which have the same legacy_id. '' for others.
ALTER TABLE endpoints ADD COLUMN legacy_id TEXT NOT NULL DEFAULT '';
CREATE INDEX endpoints_legacy ON endpoints (legacy_id) WHERE legacy_id <> '';
