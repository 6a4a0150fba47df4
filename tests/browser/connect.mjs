// Connecting accounts in a real Chromium: our pages, a certified provider's sign-in and consent, and back. See README.md.
//
// connect.mjs --binary BINARY --oidc FOLDER [--python PYTHON] [--chromium CHROMIUM] [--screenshots DIR] [--only A,C]
//
// FOLDER has what is in ../providers/oidc, with its packages.
import { execFileSync } from "node:child_process";
import { appendFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  BINARY, ONLY, TEMPORARY, Vault, ask, assistant, certificate, check, clean, fresh, group, heading, launch, look, name,
  offered, option, path, random, signIn, started, text, tidy, to, verdict, visitor,
} from "./rig.mjs";

const began = Date.now();
const OIDC = resolve(option("--oidc") ?? "");
const SCOPES = ["openid", "email", "offline_access", "api:read"].flatMap((scope) => ["--scope", scope]);
const password = fresh("password");
const secrets = { basic: fresh("basic"), post: fresh("post"), "client-credentials": fresh("machine") };

// --- The provider ---

/** Where it is, the authority that signed for it, and its handles. */
async function provider() {
  const { ca, cert, key } = certificate("oidc");
  const config = join(TEMPORARY, "oidc.json");
  const redirects = ["http://127.0.0.1/oauth/callback"];
  writeFileSync(config, JSON.stringify({ certificate: cert, key, password, redirect_uris: redirects, secrets }), { mode: 0o600 });
  const base = await started([process.execPath, join(OIDC, "server.mjs"), config, "--ui", "form"], "stdout", /ready (\S+)/);
  const handle = async (what, body) => JSON.parse((await ask(`${base}/_${what}`, body && { method: "POST", body: JSON.stringify(body) })).text);
  return { base, ca, handle };
}

/** A vault that may call the provider. */
async function vaultFor(oidc, called) {
  const vault = await new Vault(called).init();
  const home = vault.env.UNSAID_HOME;
  const file = readdirSync(home, { recursive: true }).find((found) => found.endsWith("unsaid.toml"));
  appendFileSync(join(home, file), `\n[outbound]\nallow = [${JSON.stringify(new URL(oidc.base).host)}]\nca_file = ${JSON.stringify(oidc.ca)}\n`);
  return vault;
}

async function add(vault, oidc, called, client, callback, ...more) {
  const comesBack = callback === undefined ? [] : ["--callback-url", callback];
  const auth = { device: "none", post: "post" }[client];
  await vault.works("provider", "add", "--name", called, "--issuer", oidc.base, "--client-id", client,
    ...(auth === undefined ? [] : ["--client-auth", auth]), ...comesBack, ...SCOPES, ...more);
  if (client in secrets) {
    const told = await vault.given(secrets[client], "provider", "secret", called, "--stdin");
    if (told.code !== 0) throw new Error(told.err);
  }
}

/** A port that nothing listens on. */
async function freePort() {
  const { createServer } = await import("node:net");
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

// --- A person ---

const watched = [];
const isFar = (url) => /^https?:$/.test(url.protocol) && !["127.0.0.1", "localhost"].includes(url.hostname);

/** A browser of its own; all that it asks for and is shown is looked through at the end. `others`: where else it goes. */
async function person(base, options, ...others) {
  const who = await visitor(base, options);
  const known = [base, ...others.map((url) => new URL(url).origin)];
  const about = { asked: [], shown: [], elsewhere: [], who };
  // The provider's own pages ask for a font; nothing is fetched from the network.
  await who.context.route(isFar, (route) => route.abort());
  who.context.on("request", (request) => {
    const from = request.isNavigationRequest() ? "" : request.frame().url();
    const { origin, protocol } = new URL(request.url());
    const isProviders = origin.startsWith("https://localhost:") || from.startsWith("https://localhost:");
    if (!known.includes(origin) && !isProviders && protocol !== "data:") about.elsewhere.push(request.url());
    about.asked.push(request.allHeaders().then((headers) => ({ url: request.url(), headers }), () => ({ url: request.url(), headers: {} })));
  });
  who.context.on("response", (response) => {
    if (response.request().resourceType() !== "document") return;
    about.shown.push(response.text().then((html) => ({ url: response.url(), html }), () => ({ url: response.url(), html: "" })));
  });
  watched.push(about);
  return who;
}

/** Signs in, and remembers where. */
async function enters(who, vault) {
  await signIn(who, vault);
  who.half = /^\/u\/[\w-]{43}/.exec(path(who.page))[0];
}

/** Opens a link's page in the session of who is signed in, as it is done without script too. */
const opens = (who, url) => to(who.page, () => who.page.goto(who.half === undefined ? url : `${who.base}${who.half}${new URL(url).pathname}`));

const press = (page, label) => to(page, () => page.getByRole("button", { name: label }).click());

/** Follows a link: in the same page, or in the new one that it opens. */
async function follow(page, link) {
  const isNew = (await link.getAttribute("target")) === "_blank";
  if (!isNew) {
    await to(page, () => link.click());
    return page;
  }
  const [opened] = await Promise.all([page.context().waitForEvent("page"), link.click()]);
  await opened.waitForLoadState();
  return opened;
}

const onward = (page) => page.locator("main a.button");

/** From the page of a link to the one that leads away. */
const begins = (page) => to(page, () => page.locator("button[value=browser]").click());

/** Pastes the address that a browser ended at. */
async function pastes(page, address) {
  const folded = page.locator("details:not([open]) > summary");
  if (await folded.count()) await folded.click();
  await page.getByLabel("The address it ended at").fill(address);
  return press(page, "Finish with this address");
}

/** At the provider: who comes. */
async function comes(page, user) {
  await page.getByLabel("User").fill(user);
  await page.getByLabel("Password").fill(password);
  await to(page, () => page.getByRole("button", { name: "Sign in" }).click());
}

/** At the provider: signs in as `user`, and allows or denies; ends where that leads. */
async function consents(page, user, decision = "Allow") {
  await comes(page, user);
  return press(page, decision);
}

/** As [`consents`], up to the address that the browser is sent back to: nobody opens it. */
async function sentBack(page, user, callback) {
  await comes(page, user);
  let answer = await page.request.post(page.url(), { form: { decision: "allow" }, maxRedirects: 0 });
  for (let step = 0; step < 5; step += 1) {
    const { location } = answer.headers();
    if (location?.startsWith(callback)) return location;
    answer = await page.request.get(new URL(location, answer.url()).href, { maxRedirects: 0 });
  }
  throw new Error("the browser was not sent back");
}

/** The provider knows this browser no more. */
const forgotten = (who) => who.context.clearCookies({ domain: "localhost" });

/** From the page of a link to the provider's sign-in. */
async function goesOn(who, url) {
  await opens(who, url);
  await begins(who.page);
  await forgotten(who);
  return follow(who.page, onward(who.page));
}

const connectionOf = async (tool, credential) => {
  const told = await tool("get_credential", { credential });
  return { status: told.status?.status, account: told.configuration?.connection?.account, told };
};
const isActive = async (tool, credential, account) => {
  const now = await connectionOf(tool, credential);
  return now.status === "active" && now.account === account;
};
const make = (tool, called, more = {}) => offered(tool, { name: called, type: "oauth", provider: "idp", ...more });
const again = async (tool, credential) => {
  const told = await tool("connect_credential", { credential });
  if (!told.entry) throw new Error(`no link: ${JSON.stringify(told)}`);
  return told.entry;
};

// --- A: signed in, over HTTP ---

async function overHttp(oidc) {
  const vault = await vaultFor(oidc, "connect");
  const base = await vault.serve("--http", "127.0.0.1:0");
  const callback = `${base}/oauth/callback`;
  await add(vault, oidc, "idp", "basic", callback);
  await add(vault, oidc, "codes", "device");
  const dead = `http://127.0.0.1:${await freePort()}/oauth/callback`;
  await add(vault, oidc, "elsewhere", "post", dead);
  await vault.works("provider", "add", "--name", "hub", "--service", "github", "--client-id", "Iv1.example", "--callback-url", callback,
    "--scope", "repo", "--scope", "read:user");
  await vault.given(fresh("hub"), "provider", "secret", "hub", "--stdin");
  const tool = assistant(base, await vault.token("chat"));
  const root = await person(base, {}, dead);
  await enters(root, vault);
  const all = { vault, base, callback, tool, root, oidc };
  for (const [what, run] of [
    ["browser", byBrowser], ["no", saysNo], ["foreign", otherBrowser], ["account", otherAccount], ["codes", byDevice],
    ["paste", byPaste], ["shown", whatIsShown], ["short", shortOnes], ["no script", withoutScript],
  ]) await group(what, "goes through", (check) => run(check, all));
}

async function byBrowser(check, { base, callback, tool, root, oidc }) {
  const { page } = root;
  const n = name("IDP");
  const { url } = await make(tool, n, { scope: "org" });
  check("the link leads to its page", await opens(root, url) === 200 && (await heading(page)) === `Connect ${n}`, await text(page));
  const shown = await text(page);
  check("it says who asked, and through what", /Asked by\s+root/.test(shown) && /browser tests\/1 \(as it calls itself; not checked\)/.test(shown), shown);
  check("whose page comes next", /sign in at localhost/.test(shown), shown);
  check("what will be asked for", ["openid", "email", "offline_access", "api:read"].every((scope) => shown.includes(scope)), shown);
  check("that others will act as that account", /Others will act as the account that you consent with/.test(shown), shown);
  check("the page has one way on, and a way out", (await page.locator("button[value=browser]").count()) === 1
    && (await page.getByRole("button", { name: "I do not want to connect this" }).count()) === 1);
  await look(check, "connect", root);
  check("going on shows where", await begins(page) === 200 && /Sign in at localhost|Go on to localhost/.test(await text(page)), await text(page));
  const there = await onward(page).getAttribute("href");
  check("straight to the provider", there.startsWith(`${oidc.base}/auth?`), there.split("?")[0]);
  await look(check, "leaving", root);
  const at = await follow(page, onward(page));
  check("at the provider", at.url().startsWith(`${oidc.base}/interaction/`), at.url());
  const status = await consents(at, "alice");
  check("and back: connected", status === 200 && (await heading(at)).includes(`${n}`) && (await heading(at)).includes("is connected"), await text(at));
  check("as alice", /alice@example\.test/.test(await text(at)), await text(at));
  await look(check, "connected", root, at);
  check("the assistant sees that it is active, and whose it is", await isActive(tool, n, "alice@example.test"), await connectionOf(tool, n));
  const before = (await oidc.handle("counts")).token_requests;
  check("the page loaded again: it cannot be used again, 403", await to(at, () => at.reload()) === 403
    && (await heading(at)) === "This consent cannot be used", await text(at));
  check("and the provider is not asked again", JSON.stringify((await oidc.handle("counts")).token_requests) === JSON.stringify(before));
  await look(check, "consent-used", root, at);
  check("it is still active", await isActive(tool, n, "alice@example.test"));
  check("the link is closed, 410", await opens(root, url) === 410, await text(page));
  await look(check, "connect-closed", root);
  check("nothing at the callback alone", await to(page, () => page.goto(callback)) === 403, await text(page));
}

async function saysNo(check, { vault, tool, root }) {
  const { page } = root;
  const n = name("NO");
  const { url } = await make(tool, n);
  const at = await goesOn(root, url);
  const status = await consents(at, "alice", "Deny");
  check("a no at the provider is a plain page, 403", status === 403 && (await heading(at)) === "Nothing was connected", `${status} ${await text(at)}`);
  await look(check, "consent-denied", root, at);
  check("nothing was connected", (await connectionOf(tool, n)).status !== "active");
  const back = await goesOn(root, url);
  check("the same link takes a second thought", await consents(back, "alice") === 200 && await isActive(tool, n, "alice@example.test"), await text(back));
  const declined = await make(tool, name("DECLINED"));
  await opens(root, declined.url);
  check("the page takes a no too", await press(page, "I do not want to connect this") === 200, await text(page));
  check("and says that nothing was connected", /^Nothing was (entered|connected)$/.test(await heading(page)), await text(page));
  await look(check, "connect-declined", root);
}

async function otherBrowser(check, { vault, base, callback, tool, root }) {
  const n = name("MINE");
  const { url } = await make(tool, n);
  const at = await goesOn(root, url);
  const address = await sentBack(at, "alice", callback);
  const other = await person(base);
  check("another browser cannot use the answer, 403", await to(other.page, () => other.page.goto(address)) === 403, await text(other.page));
  check("and is told so", /not the one that was sent/.test(await text(other.page)), await text(other.page));
  await look(check, "consent-foreign", other);
  await enters(other, vault);
  check("nor when signed in as the same person", await to(other.page, () => other.page.goto(address)) === 403, await text(other.page));
  check("nothing was connected", (await connectionOf(tool, n)).status !== "active");
  check("the right browser still can", await to(at, () => at.goto(address)) === 200 && await isActive(tool, n, "alice@example.test"), await text(at));
}

async function otherAccount(check, { vault, tool, root, callback }) {
  const n = name("WHO");
  await consents(await goesOn(root, (await make(tool, n)).url), "alice");
  check("connected as alice", await isActive(tool, n, "alice@example.test"), await connectionOf(tool, n));
  const asks = async (page, was, now) => {
    const shown = await text(page);
    return /another account/i.test(await heading(page)) && shown.includes(was) && shown.includes(now);
  };
  const { url } = await again(tool, n);
  await opens(root, url);
  check("the page says as whom it was connected", /connected as alice@example\.test/.test(await text(root.page)), await text(root.page));
  await look(check, "connect-again", root);
  const at = await goesOn(root, url);
  await consents(at, "bob");
  check("bob comes back: the page asks", await asks(at, "alice@example.test", "bob@example.test"), await text(at));
  await look(check, "other-account", root, at);
  check("nothing was changed yet", await isActive(tool, n, "alice@example.test"));
  check("accepted: connected", await press(at, "Use the other account from now on") === 200 && /is connected/.test(await heading(at)), await text(at));
  check("as bob", await isActive(tool, n, "bob@example.test"), await connectionOf(tool, n));
  check("and no page or answer names alice as its account", !/alice@/.test(`${await text(at)} ${(await connectionOf(tool, n)).told.account}`),
    `${await text(at)} ${(await connectionOf(tool, n)).told.account}`);

  const next = await again(tool, n);
  await opens(root, next.url);
  await begins(root.page);
  const elsewhere = await root.context.newPage();
  await forgotten(root);
  const href = await onward(root.page).getAttribute("href");
  await elsewhere.goto(href);
  const address = await sentBack(elsewhere, "carol", callback);
  await elsewhere.close();
  await pastes(root.page, address);
  check("carol's answer pasted: the page asks", await asks(root.page, "bob@example.test", "carol@example.test"), await text(root.page));
  await look(check, "other-account-signed-in", root);
  check("accepted there: connected as carol", await press(root.page, "Use the other account from now on") === 200
    && await isActive(tool, n, "carol@example.test"), await text(root.page));
}

async function byDevice(check, { vault, tool, root, oidc }) {
  const { page } = root;
  const n = name("DEVICE");
  const { url } = await make(tool, n, { provider: "codes" });
  await opens(root, url);
  await look(check, "connect-device", root);
  check("a code is offered", await press(page, "Use a code on another device") === 200, await text(page));
  const code = (await page.locator("strong.code").innerText()).trim();
  check("and shown, as the provider wrote it", /^[A-Z0-9]{4}-[A-Z0-9]{4}$/.test(code), `not as expected: ${code.length} characters`);
  await look(check, "device-code", root);
  check("too early: not yet", await press(page, "I have done that") === 200 && (await page.getByRole("status").count()) === 1
    && (await text(page)).includes(code), await text(page));
  await look(check, "device-waiting", root);
  const link = page.locator("main ol a");
  const href = await link.getAttribute("href");
  check("the link leads to the provider", href.startsWith(`${oidc.base}/device`), href);
  await forgotten(root);
  const phone = await person(root.base);
  await phone.page.goto(href);
  const confirm = phone.page.locator("button[type=submit]:not([name=abort])");
  if (await phone.page.locator("input[name=user_code]:visible").count()) await phone.page.locator("input[name=user_code]").fill(code);
  await to(phone.page, () => confirm.first().click());
  if (/Continue/.test(await text(phone.page))) await to(phone.page, () => phone.page.locator("button[type=submit]:not([name=abort])").first().click());
  await consents(phone.page, "dora");
  check("done: connected", await press(page, "I have done that") === 200 && /is connected/.test(await heading(page)), await text(page));
  check("as dora", await isActive(tool, n, "dora@example.test"), await connectionOf(tool, n));
  await look(check, "connected-device", root);
  check("the link is closed", await opens(root, url) === 410, await text(page));
  await phone.context.close();
}

async function byPaste(check, { vault, callback, tool, root }) {
  const { page } = root;
  const n = name("PASTE");
  const { url } = await make(tool, n, { provider: "elsewhere" });
  await opens(root, url);
  await begins(page);
  check("nothing of ours listens there, and the page says so", /nothing (of ours|here) listens/i.test(await text(page)), await text(page));
  await look(check, "leaving-elsewhere", root);
  await forgotten(root);
  const elsewhere = await root.context.newPage();
  await elsewhere.goto(await onward(page).getAttribute("href"));
  await comes(elsewhere, "erin");
  const ended = elsewhere.waitForRequest(/\/oauth\/callback\?/);
  await elsewhere.getByRole("button", { name: "Allow" }).click();
  const address = (await ended).url();
  await elsewhere.close();
  check("the browser ended at an address that nothing answers", !address.startsWith(callback));
  check("what is no address is refused, 400", await pastes(page, "no address at all") === 400
    && (await page.getByRole("alert").count()) === 1, await text(page));
  await look(check, "connect-refused", root);
  check("and the field is empty again", (await page.getByLabel("The address it ended at").inputValue()) === "");
  check("another state is refused, 403", await pastes(page, address.replace(/state=[\w-]+/, `state=${random(16)}`)) === 403, await text(page));
  await look(check, "connect-unknown", root);
  check("the right one connects", await pastes(page, `  ${address}\n`) === 200 && /is connected/.test(await heading(page)), await text(page));
  check("as erin", await isActive(tool, n, "erin@example.test"), await connectionOf(tool, n));

  const m = name("PASTE");
  await opens(root, (await make(tool, m)).url);
  await begins(page);
  await forgotten(root);
  const phone = await person(root.base);
  await phone.page.goto(await onward(page).getAttribute("href"));
  const back = await sentBack(phone.page, "fred", callback);
  check("an address that another device ended at connects too", await pastes(page, back) === 200
    && await isActive(tool, m, "fred@example.test"), await text(page));
  await phone.context.close();
}

/** What the pages say of scopes and accounts, where nobody goes on. */
async function whatIsShown(check, { vault, tool, root }) {
  const { url } = await make(tool, name("GITHUB"), { provider: "hub" });
  await opens(root, url);
  const meanings = await root.page.locator("h2:has-text('asked for') + dl dd").allInnerTexts();
  check("scopes have their meanings, in words", meanings.length === 2 && meanings.every((words) => words.length > 5), meanings);
  check("and the page goes to GitHub", /sign in at github\.com/.test(await text(root.page)), await text(root.page));
  await look(check, "connect-meanings", root);
}

/** A grant that gives no refresh token. */
async function shortOnes(check, { vault, tool, root, oidc }) {
  const { url } = await make(tool, name("SHORT"));
  const at = await goesOn(root, url);
  await oidc.handle("fault", { path: "/token", kind: "no_refresh" });
  await consents(at, "alice");
  check("a connection that ends is told as one", /this connection ends/.test(await text(at)), await text(at));
  await look(check, "connected-short", root, at);
  await oidc.handle("fault", { path: "/token", kind: "badjson" });
  const failing = await goesOn(root, (await make(tool, name("FAILS"))).url);
  const status = await consents(failing, "alice");
  check("a provider that answers nonsense is told as a failure", status >= 400, `${status} ${await text(failing)}`);
  await look(check, "consent-failed", root, failing);
  await oidc.handle("reset", {});
}

async function withoutScript(check, { vault, base, tool }) {
  const who = await person(base, { javaScriptEnabled: false });
  await enters(who, vault);
  const n = name("BARE");
  const at = await goesOn(who, (await make(tool, n)).url);
  check("without script: connected", await consents(at, "gina") === 200 && /is connected/.test(await heading(at)), await text(at));
  check("and active", await isActive(tool, n, "gina@example.test"));
  const other = await goesOn(who, (await again(tool, n)).url);
  await consents(other, "hugo");
  check("without script: another account is asked about, and taken", await press(other, "Use the other account from now on") === 200
    && await isActive(tool, n, "hugo@example.test"), await text(other));
  const denied = await goesOn(who, (await make(tool, name("BARE"))).url);
  check("without script: a no", await consents(denied, "alice", "Deny") === 403, await text(denied));
  const early = name("BARE");
  await opens(who, (await make(tool, early, { provider: "codes" })).url);
  await press(who.page, "Use a code on another device");
  check("without script: not yet", await press(who.page, "I have done that") === 200 && (await who.page.getByRole("status").count()) === 1, await text(who.page));
}

// --- C: over stdio, with a code ---

async function overStdio(oidc) {
  await group("stdio", "goes through", async (check) => {
    const vault = await vaultFor(oidc, "local");
    const callback = `http://127.0.0.1:${await freePort()}/oauth/callback`;
    await add(vault, oidc, "idp", "basic", callback);
    const { tool } = await vault.stdio();
    const n = name("LOCAL");
    const entry = await make(tool, n);
    const base = new URL(entry.url).origin;
    const who = await person(base, {}, callback);
    const { page } = who;
    check("the page asks for the code, 401", await to(page, () => page.goto(entry.url)) === 401 && (await heading(page)) === "Enter the code");
    check("and shows nothing of what it is for", !(await page.content()).includes(n));
    await page.getByLabel("Code").fill(entry.code);
    check("the code opens it", await press(page, "Continue") === 200 && (await heading(page)) === `Connect ${n}`, await text(page));
    await look(check, "connect-by-code", who);
    await begins(page);
    const href = await onward(page).getAttribute("href");
    check("straight to the provider", href.startsWith(`${oidc.base}/auth?`), href.split("?")[0]);
    await look(check, "leaving-by-code", who);
    const at = await follow(page, onward(page));
    check("and back, on that port: connected", await consents(at, "alice") === 200 && at.url().startsWith(callback)
      && /is connected/.test(await heading(at)), await text(at));
    await look(check, "connected-by-code", who, at);
    check("active", await isActive(tool, n, "alice@example.test"), await connectionOf(tool, n));
    check("the link is closed, 410", await to(page, () => page.goto(entry.url)) === 410, await text(page));
    check("that port has nothing else", (await ask(new URL("/", callback).href)).status === 404 && (await ask(new URL("/sign-in", callback).href)).status === 404);

    const next = await again(tool, n);
    await page.goto(next.url);
    await page.getByLabel("Code").fill(next.code);
    await press(page, "Continue");
    await begins(page);
    await forgotten(who);
    const bob = await follow(page, onward(page));
    await consents(bob, "bob");
    check("another account is asked about, and taken, on that port", await press(bob, "Use the other account from now on") === 200
      && await isActive(tool, n, "bob@example.test"), await text(bob));
    const bare = await person(base, { javaScriptEnabled: false }, callback);
    const m = name("LOCAL");
    const last = await make(tool, m);
    await bare.page.goto(last.url);
    await bare.page.getByLabel("Code").fill(last.code);
    await press(bare.page, "Continue");
    await begins(bare.page);
    const there = await follow(bare.page, onward(bare.page));
    check("without script: connected", await consents(there, "alice") === 200 && await isActive(tool, m, "alice@example.test"), await text(there));
  });
}

// --- What all of them asked for and were shown ---

async function everything(oidc) {
  await group("all", "is looked through", async (check) => {
    const issued = (await oidc.handle("issued")).filter((token) => token.length > 8);
    const told = { pages: 0, requests: 0, held: [], states: [], referred: [], elsewhere: [], errors: [], violations: [], dialogs: [] };
    const states = new Set();
    // Or a search that finds nothing would mean nothing.
    const isPart = ONLY !== undefined;
    // The provider's own pages are its own affair, and so is an address that nothing answers.
    const isTheirs = (line) => line.startsWith(oidc.base) || /^http:\/\/127\.0\.0\.1:\d+\/oauth\/callback\?.*ERR_CONNECTION/.test(line)
      || line.startsWith("https://fonts.googleapis.com/");
    for (const { asked, elsewhere, who } of watched) {
      const requests = await Promise.all(asked);
      told.errors.push(...who.seen.errors.filter((line) => !isTheirs(line)));
      told.violations.push(...who.seen.violations);
      told.dialogs.push(...who.seen.dialogs);
      told.elsewhere.push(...elsewhere);
      for (const { url, headers } of requests) {
        told.requests += 1;
        for (const state of url.matchAll(/[?&](?:state|code|code_challenge)=([\w.~-]{16,})/g)) states.add(state[1]);
        const referer = headers.referer ?? "";
        // What a page of ours says of itself to another site: nothing. To ourselves: no code, no state.
        if (referer === "") continue;
        const [from, at] = [new URL(referer), new URL(url)];
        if (from.origin !== oidc.base && from.origin !== at.origin) told.referred.push(`${from.origin} → ${at.origin}`);
        if (/[?&](code|state)=/.test(referer) && at.origin !== oidc.base) told.referred.push(`${from.pathname} with its query → ${at.pathname}`);
      }
    }
    clean(check, `${watched.length} browsers`, { seen: told });
    for (const { shown } of watched) {
      for (const { url, html } of await Promise.all(shown)) {
        if (url.startsWith(oidc.base)) continue;
        told.pages += 1;
        const kept = new URL(url).pathname.replace(/[\w-]{43}/g, "…");
        if (issued.some((token) => html.includes(token))) told.held.push(kept);
        // The link that leads to the provider has them, as any redirect would: worth nothing without this browser's cookie.
        const plain = html.replaceAll(/href="https:[^"]*"/g, "");
        for (const state of states) if (plain.includes(state)) told.states.push(kept);
      }
    }
    check(`${told.pages} pages of ours: none holds one of ${issued.length} tokens and codes`, (isPart || (told.pages > 30 && issued.length > 10)) && told.held.length === 0, told.held);
    check(`nor one of ${states.size} states, codes and challenges`, (isPart || states.size > 10) && told.states.length === 0, told.states);
    check(`${told.requests} requests: none says where it came from to another site, nor a code or a state to ours`, (isPart || told.requests > 100) && told.referred.length === 0,
      [...new Set(told.referred)]);
  });
}

// --- ---

try {
  check("all", `the binary is there: ${BINARY.split("/").pop()}`, execFileSync(BINARY, ["--version"]).length > 0);
  await launch();
  const oidc = await provider();
  for (const [letter, run] of [["A", overHttp], ["C", overStdio]]) {
    if (ONLY === undefined || ONLY.includes(letter)) await group(letter, "runs", () => run(oidc));
  }
  await everything(oidc);
} catch (e) {
  check("all", "starts", false, String(e.stack ?? e));
} finally {
  await tidy();
}
console.log(`${Math.round((Date.now() - began) / 1000)} s`);
process.exit(verdict());
