-- What the catalogue advised for each service on the day that an org agreed to follow it: `github:90 stripe:180`.
CREATE TABLE rotation_advice (
  org_id TEXT PRIMARY KEY, advice TEXT NOT NULL, set_by TEXT NOT NULL, set_at INTEGER NOT NULL,
  revision INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;
