-- Consumers, their bindings and their tokens.
CREATE TABLE consumer (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, name TEXT NOT NULL, name_key TEXT NOT NULL, kind TEXT NOT NULL,
  scope TEXT NOT NULL, owner_id TEXT NOT NULL, description TEXT NOT NULL, stack TEXT NOT NULL, run_by TEXT NOT NULL,
  definition TEXT NOT NULL, command TEXT NOT NULL, url TEXT NOT NULL, created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER, revision INTEGER NOT NULL,
  mac BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX consumer_place ON consumer (org_id, scope, owner_id, name_key) WHERE deleted_at IS NULL;
CREATE INDEX consumer_name ON consumer (org_id, name_key, id) WHERE deleted_at IS NULL;
CREATE TABLE binding (
  consumer_id TEXT NOT NULL, variable TEXT NOT NULL, org_id TEXT NOT NULL, source TEXT NOT NULL,
  delivery TEXT NOT NULL, credential TEXT NOT NULL, field TEXT NOT NULL, account TEXT NOT NULL, environment TEXT,
  team_id TEXT NOT NULL, service TEXT NOT NULL, text TEXT NOT NULL, methods TEXT NOT NULL, paths TEXT NOT NULL,
  is_required INTEGER NOT NULL, created_at INTEGER NOT NULL, created_by TEXT NOT NULL, revision INTEGER NOT NULL,
  mac BLOB NOT NULL, PRIMARY KEY (consumer_id, variable)) STRICT;
CREATE INDEX binding_credential ON binding (org_id, upper(credential));
CREATE INDEX binding_variable ON binding (org_id, upper(variable)) WHERE credential = '';
CREATE TABLE consumer_token (
  token_id TEXT PRIMARY KEY, org_id TEXT NOT NULL, consumer_id TEXT NOT NULL, revision INTEGER NOT NULL,
  mac BLOB NOT NULL) STRICT;
CREATE INDEX consumer_token_of ON consumer_token (org_id, consumer_id);
CREATE INDEX audit_consumer ON audit (consumer, seq) WHERE consumer <> '';
