// What the provider was asked and what it answered: an entry for each request, and counts.
//
// No token and no secret is in it: a token is told by its SHA-256.

import { createHash } from "node:crypto";

const TOKENS = [
  "access_token",
  "refresh_token",
  "id_token",
  "code",
  "token",
  "device_code",
  "code_verifier",
  "registration_access_token",
];
const CLIENT_PATHS = ["/token", "/token/revocation", "/token/introspection", "/device/auth"];
const SECRETS = ["client_secret", "password", "client_assertion"];

const digest = (value) => createHash("sha256").update(String(value)).digest("hex");

/** `fields` with tokens by their SHA-256, without secrets. */
const shown = (fields) =>
  Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, SECRETS.includes(name) ? "…" : TOKENS.includes(name) ? digest(value) : value]),
  );

/** How a client proved itself (RFC 6749 §2.3.1): basic, post, both or none. */
function clientAuth(authorization, params) {
  const basic = /^basic /i.test(authorization);
  if (params.client_secret === undefined) return basic ? "basic" : "none";
  return basic ? "both" : "post";
}

export class Journal {
  constructor() {
    this.reset();
  }

  reset() {
    this.requests = [];
    this.counts = {
      token_requests: {},
      token_answers: {},
      reuse_detected: 0,
      rotated_twice: 0,
      grants_revoked: 0,
      most_token_requests_in_one_second: 0,
    };
    this.seconds = new Map();
  }

  /** One more, of a count that has no parts. */
  add(count) {
    this.counts[count] += 1;
  }

  /** The entry of a request as it arrives; what else is known of it comes with [`asked`] and [`answered`]. */
  begin(ctx) {
    const entry = { at_ms: Date.now(), method: ctx.method, path: ctx.path };
    if (Object.keys(ctx.query).length > 0) entry.query = shown(ctx.query);
    this.requests.push(entry);
    return entry;
  }

  /** `params` are those of the body. */
  asked(entry, authorization, params) {
    entry.params = shown(params);
    if (!CLIENT_PATHS.includes(entry.path)) return;
    entry.client_auth = clientAuth(authorization, params);
    if (entry.path !== "/token") return;
    entry.grant_type = params.grant_type ?? "missing";
    this.counts.token_requests[entry.grant_type] = (this.counts.token_requests[entry.grant_type] ?? 0) + 1;
    const second = Math.floor(entry.at_ms / 1000);
    const inSecond = (this.seconds.get(second) ?? 0) + 1;
    this.seconds.set(second, inSecond);
    this.counts.most_token_requests_in_one_second = Math.max(this.counts.most_token_requests_in_one_second, inSecond);
  }

  answered(entry, status, body) {
    entry.status = status;
    if (body === null || typeof body !== "object" || entry.path.startsWith("/.well-known/")) return;
    if (body.error) entry.error = body.error;
    const issued = Object.entries(shown(body)).filter(([name]) => TOKENS.includes(name));
    if (issued.length > 0) entry.issued = Object.fromEntries(issued);
    if (entry.grant_type && body.access_token) {
      this.counts.token_answers[entry.grant_type] = (this.counts.token_answers[entry.grant_type] ?? 0) + 1;
    }
  }
}
