// Everything the provider remembers, in memory, without the small limit of the library's own store.
//
// The id of an opaque token is the token itself, so the store knows every token ever issued.

const TOKENS = ["AccessToken", "AuthorizationCode", "ClientCredentials", "DeviceCode", "RefreshToken", "RegistrationAccessToken"];

/** A store; `adapter` is for the library, `rotatedTwice(id)` is told of a refresh token that two requests used at once. */
export function store(rotatedTwice) {
  const entries = new Map();
  const byUid = new Map();
  const byUserCode = new Map();
  const ofGrant = new Map();
  const issued = new Set();

  class Adapter {
    constructor(model) {
      this.model = model;
    }

    key(id) {
      return `${this.model}:${id}`;
    }

    async upsert(id, payload) {
      const key = this.key(id);
      entries.set(key, payload);
      if (payload.uid) byUid.set(`${this.model}:${payload.uid}`, id);
      if (payload.userCode) byUserCode.set(payload.userCode, id);
      if (!TOKENS.includes(this.model)) return;
      issued.add(id);
      if (payload.grantId) {
        if (!ofGrant.has(payload.grantId)) ofGrant.set(payload.grantId, new Set());
        ofGrant.get(payload.grantId).add(key);
      }
    }

    async find(id) {
      return entries.get(this.key(id));
    }

    async findByUid(uid) {
      return this.find(byUid.get(`${this.model}:${uid}`));
    }

    async findByUserCode(userCode) {
      return this.find(byUserCode.get(userCode));
    }

    // The library looks at `consumed` before it gets here, and two requests can both be past that.
    async consume(id) {
      const payload = entries.get(this.key(id));
      if (payload.consumed) rotatedTwice(id);
      payload.consumed = Math.floor(Date.now() / 1000);
    }

    async destroy(id) {
      const key = this.key(id);
      ofGrant.get(entries.get(key)?.grantId)?.delete(key);
      entries.delete(key);
    }

    async revokeByGrantId(grantId) {
      for (const key of ofGrant.get(grantId) ?? []) entries.delete(key);
      ofGrant.delete(grantId);
    }
  }

  return { adapter: Adapter, issued };
}
