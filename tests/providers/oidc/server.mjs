// A certified OpenID provider (oidc-provider) over HTTPS on loopback, to drive an OAuth client against.
//
//   node server.mjs CONFIG [--port 0] [--access-ttl 3600] [--refresh-ttl 86400] [--ui auto|form] [--no-rotate]
//
// CONFIG is a JSON file; ../README.md says what is in it, and what the handles under /_ do. The clients are public, basic,
// post, device and client-credentials. With `--ui form` anybody signs in with the password of CONFIG and is asked; with
// `--ui auto` who `login_hint` names is signed in, and everything is allowed. The user `deny` refuses.
// "ready https://localhost:PORT" says that it listens; it stops when it is ended.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import https from "node:https";
import { parseArgs } from "node:util";
import { Provider } from "oidc-provider";
import { Faults, drop, isReply, reply } from "./faults.mjs";
import { Journal } from "./journal.mjs";
import * as pages from "./pages.mjs";
import { store } from "./store.mjs";

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string", default: "0" },
    "access-ttl": { type: "string", default: "3600" },
    "refresh-ttl": { type: "string", default: "86400" },
    ui: { type: "string", default: "form" },
    "no-rotate": { type: "boolean", default: false },
  },
});
const config = JSON.parse(readFileSync(positionals[0], "utf8"));
const accessTtl = Number(given["access-ttl"]);
const refreshTtl = Number(given["refresh-ttl"]);

const journal = new Journal();
const faults = new Faults();
const { adapter, issued } = store(() => journal.add("rotated_twice"));

// --- The provider ---

const SCOPES = ["openid", "profile", "email", "offline_access", "api:read", "api:write"];
const DEVICE = "urn:ietf:params:oauth:grant-type:device_code";

function clients() {
  const uris = config.redirect_uris;
  // A native client may come back on any port of loopback (RFC 8252 §7.3), and over plain HTTP alone.
  const isNative = uris.every((uri) => /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])[:/]/.test(uri));
  const common = {
    application_type: isNative ? "native" : "web",
    redirect_uris: uris,
    response_types: ["code"],
    grant_types: ["authorization_code", "refresh_token", DEVICE],
    scope: SCOPES.join(" "),
  };
  const none = { redirect_uris: [], response_types: [] };
  const open = (id) => ({ ...common, client_id: id, token_endpoint_auth_method: "none" });
  const confidential = (id, method) => ({
    ...common,
    client_id: id,
    token_endpoint_auth_method: method,
    client_secret: config.secrets[id],
  });
  return [
    open("public"),
    confidential("basic", "client_secret_basic"),
    confidential("post", "client_secret_post"),
    { ...open("device"), ...none, grant_types: ["refresh_token", DEVICE] },
    {
      ...confidential("client-credentials", "client_secret_basic"),
      ...none,
      grant_types: ["client_credentials"],
      scope: "api:read api:write",
    },
  ];
}

const account = (id) => ({
  accountId: id,
  claims: async () => ({
    sub: id,
    name: `User ${id}`,
    preferred_username: id,
    email: `${id}@example.test`,
    email_verified: true,
  }),
});

function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "test" };
}

const makeProvider = (issuer) =>
  new Provider(issuer, {
    adapter,
    clients: clients(),
    jwks: { keys: [signingKey()] },
    cookies: { keys: [randomBytes(32).toString("hex")] },
    scopes: SCOPES,
    claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email", "email_verified"] },
    findAccount: (_ctx, id) => account(id),
    pkce: { required: () => true },
    rotateRefreshToken: (ctx) => !given["no-rotate"] && !ctx.state.keepsRefreshToken,
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed("refresh_token"),
    ttl: {
      AccessToken: accessTtl,
      ClientCredentials: accessTtl,
      RefreshToken: refreshTtl,
      AuthorizationCode: 60,
      DeviceCode: 120,
      IdToken: 3600,
      Grant: 86400,
      Session: 86400,
      Interaction: 600,
    },
    // Or a token would live for some seconds more than it says.
    clockTolerance: 0,
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    clientBasedCORS: () => true,
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      registration: { enabled: true },
      registrationManagement: { enabled: true },
      clientCredentials: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      dPoP: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      userinfo: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, audience) => ({
          scope: SCOPES.join(" "),
          audience,
          accessTokenTTL: accessTtl,
          accessTokenFormat: "opaque",
        }),
      },
    },
    renderError: async (ctx, out) => {
      ctx.type = "html";
      ctx.body = pages.failed(out);
    },
  });

// --- Handles, journal and faults, before the provider ---

async function bodyOf(req) {
  let body = "";
  for await (const part of req) body += part;
  return body;
}

/** Grants without a person, for tests of many at once: their refresh tokens. */
async function makeGrants({ count, client_id = "public", scope = "api:read" }) {
  const client = await provider.Client.find(client_id);
  const refreshTokens = [];
  for (let n = 0; n < count; n += 1) {
    const accountId = `user-${n}`;
    const grant = new provider.Grant({ accountId, clientId: client_id });
    grant.addOIDCScope(scope);
    const grantId = await grant.save();
    const token = new provider.RefreshToken({ accountId, client, grantId, scope, gty: "authorization_code" });
    refreshTokens.push(await token.save());
  }
  return { refresh_tokens: refreshTokens };
}

const HANDLES = {
  log: () => ({ ...journal.counts, requests: journal.requests }),
  counts: () => journal.counts,
  issued: () => [...issued],
  reset: () => {
    journal.reset();
    faults.reset();
    return {};
  },
  fault: (asked) => {
    faults.add(asked);
    return {};
  },
  grants: makeGrants,
};

async function handles(ctx, next) {
  // /_rig/log is /_log, and so with the others.
  const name = /^\/_(?:rig\/)?([a-z]+)$/.exec(ctx.path)?.[1];
  if (name === undefined) return next();
  const handle = Object.hasOwn(HANDLES, name) ? HANDLES[name] : undefined;
  if (handle === undefined) return;
  try {
    ctx.body = await handle(JSON.parse((await bodyOf(ctx.req)) || "{}"));
  } catch (e) {
    ctx.status = 400;
    ctx.body = { error: String(e) };
  }
}

async function recorded(ctx, next) {
  const entry = journal.begin(ctx);
  const fault = faults.take(ctx.path);
  if (fault) entry.fault = fault.kind;
  if (isReply(fault)) {
    journal.asked(entry, ctx.get("authorization"), Object.fromEntries(new URLSearchParams(await bodyOf(ctx.req))));
    reply(ctx, fault);
    if (ctx.respond !== false) journal.answered(entry, ctx.status, ctx.body);
    return;
  }
  if (fault?.kind === "delay") await new Promise((done) => setTimeout(done, fault.ms ?? 1000));
  // A provider that gives no new refresh token keeps the old one good.
  ctx.state.keepsRefreshToken = fault?.kind === "no_refresh";
  try {
    await next();
  } finally {
    journal.asked(entry, ctx.get("authorization"), { ...ctx.oidc?.body, ...ctx.oidc?.params });
    journal.answered(entry, ctx.status, ctx.body);
    entry.client_id = ctx.oidc?.client?.clientId;
  }
  if (ctx.body?.id_token) issued.add(ctx.body.id_token);
  if (fault?.kind === "no_refresh") delete ctx.body?.refresh_token;
  if (fault?.kind === "lost") drop(ctx);
}

// --- People ---

async function finish(ctx, details, decided) {
  if (decided.login === "deny" || decided.isDenied) {
    const denied = { error: "access_denied", error_description: "The resource owner denied the request" };
    return provider.interactionFinished(ctx.req, ctx.res, denied);
  }
  const accountId = decided.login ?? details.session?.accountId;
  const result = {};
  if (details.prompt.name === "login") result.login = { accountId };
  if (details.prompt.name === "consent") {
    const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = details.prompt.details;
    const clientId = details.params.client_id;
    const grant = details.grantId ? await provider.Grant.find(details.grantId) : new provider.Grant({ accountId, clientId });
    if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(" "));
    if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
    for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) {
      grant.addResourceScope(resource, scopes.join(" "));
    }
    result.consent = { grantId: await grant.save() };
  }
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
}

async function interaction(ctx, next) {
  if (!/^\/interaction\/[^/]+$/.test(ctx.path)) return next();
  const details = await provider.interactionDetails(ctx.req, ctx.res);
  const isLogin = details.prompt.name === "login";
  ctx.respond = false;
  const show = (status, html) => {
    ctx.res.writeHead(status, { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" });
    ctx.res.end(html);
  };
  if (ctx.method === "GET" && given.ui === "auto") {
    return finish(ctx, details, { login: isLogin ? (details.params.login_hint ?? "alice") : undefined });
  }
  if (ctx.method === "GET") {
    const client = details.params.client_id;
    return show(200, isLogin ? pages.signIn(client) : pages.consent(client, details.prompt.details));
  }
  const form = new URLSearchParams(await bodyOf(ctx.req));
  if (!isLogin) return finish(ctx, details, { isDenied: form.get("decision") !== "allow" });
  if (form.get("login") !== "deny" && form.get("password") !== config.password) return show(401, pages.wrongPassword());
  return finish(ctx, details, { login: form.get("login") });
}

// --- Listening ---

const server = https.createServer({ cert: readFileSync(config.certificate), key: readFileSync(config.key) });
server.keepAliveTimeout = 60_000;
server.listen({ port: Number(given.port), host: "127.0.0.1", backlog: 4096 });
await new Promise((listens) => server.once("listening", listens));
const issuer = `https://localhost:${server.address().port}`;
const provider = makeProvider(issuer);
for (const step of [handles, recorded, interaction]) provider.use(step);
provider.on("server_error", (_ctx, e) => console.error("server_error", e));
provider.on("grant.revoked", () => journal.add("grants_revoked"));
provider.on("grant.error", (_ctx, e) => {
  if (e.error_detail === "refresh token already used") journal.add("reuse_detected");
});
server.on("request", provider.callback());
console.log(`ready ${issuer}`);
