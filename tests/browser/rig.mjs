// Vaults, servers, an MCP client and a watched browser, for run.mjs and connect.mjs.
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

export const option = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
export const BINARY = resolve(option("--binary") ?? process.argv[2] ?? "");
export const SHOTS = option("--screenshots") ?? option("--shots");
export const PYTHON = option("--python") ?? "python3";
const CHROMIUM = option("--chromium") ?? process.env.CHROMIUM ?? "/usr/bin/chromium";
export const ONLY = option("--only")?.toUpperCase();
export const TEMPORARY = mkdtempSync(join(tmpdir(), "unsaid-browser-"));
if (SHOTS !== undefined) mkdirSync(SHOTS, { recursive: true });
const AT_TERMINAL = new URL("../support/at_terminal.py", import.meta.url).pathname;
/** What a tool answered; a failure is text alone. */
const answered = (result) => (result.isError ? JSON.parse(result.content[0].text) : result.structuredContent);

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// --- Checks ---

let failures = 0;
let count = 0;
// Everything that must be in no line of ours, and in no page: made here, at run time.
const secrets = new Set();
const quiet = (text) => {
  for (const secret of secrets) text = text.replaceAll(secret, "…");
  return text.replaceAll(/[A-Za-z0-9_-]{43}/g, "…").replaceAll(/unsaid_[A-Za-z0-9_-]+/g, "…");
};

/** One line; `told` says more where it does not hold. */
export function check(group, what, holds, told = "") {
  count += 1;
  failures += holds ? 0 : 1;
  const more = holds ? "" : `: ${quiet(typeof told === "string" ? told : JSON.stringify(told))}`.replaceAll(/\s+/g, " ").slice(0, 600);
  console.log(`${holds ? "ok  " : "FAIL"} ${group.padEnd(9)} ${what}${more}`);
}

/** A group of checks; what is thrown fails one, and the next group goes on. */
export async function group(name, what, run) {
  try {
    await run((...args) => check(name, ...args));
  } catch (e) {
    check(name, what, false, String(e.stack ?? e));
  }
}

export function verdict() {
  console.log(`${count - failures} of ${count} hold`);
  return failures === 0 ? 0 : 1;
}

export const secret = (text) => {
  secrets.add(text);
  return text;
};
export const random = (bytes = 18) => randomBytes(bytes).toString("hex");
export const fresh = (start = "value") => secret(`${start}-${random()}`);
export const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");
export const knows = (text) => [...secrets].some((secret) => secret.length > 8 && text.includes(secret));
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// --- Vault and server ---

const children = new Set();
const closers = [];

/** Starts a program that runs until [`tidy`]: what `wanted` finds in what it says. */
export function started([program, ...args], stream, wanted, env = process.env) {
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  let told = "";
  return new Promise((done, fail) => {
    child.stdout.on("data", () => {});
    child.stderr.on("data", () => {});
    child[stream].on("data", (data) => {
      told += data;
      const found = wanted.exec(told);
      if (found) done(found[1]);
    });
    child.on("close", (code) => fail(new Error(`${program} ended with ${code}: ${told}`)));
  });
}

export class Vault {
  constructor(name) {
    this.env = { ...process.env, UNSAID_HOME: join(TEMPORARY, name) };
    delete this.env.UNSAID_TOKEN;
    this.recovery = join(TEMPORARY, `${name}.recovery`);
  }

  async cli(...args) {
    return this.given("", ...args);
  }

  /** As [`cli`], with `input` on standard input. */
  async given(input, ...args) {
    // Never on the terminal that the tests run in; `open`, providers and tokens for signing in as a person at one.
    const asks = args[0] === "open" || args.includes("--sign-in") || args.slice(0, 2).join(" ") === "provider add";
    const [program, ...rest] = asks ? [PYTHON, AT_TERMINAL, BINARY, ...args] : [BINARY, ...args];
    const child = spawn(program, rest, { env: this.env, stdio: [input ? "pipe" : "ignore", "pipe", "pipe"], detached: true });
    child.stdin?.end(input);
    const [out, err] = [[], []];
    child.stdout.on("data", (d) => out.push(d));
    child.stderr.on("data", (d) => err.push(d));
    const code = await new Promise((done) => child.on("close", done));
    return { code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
  }

  async works(...args) {
    const { code, out, err } = await this.cli(...args);
    if (code !== 0) throw new Error(`unsaid ${args[0]} ended with ${code}: ${err}`);
    return out.trim();
  }

  async json(...args) {
    return JSON.parse(await this.works(...args, "--json"));
  }

  async init() {
    await this.works("init", "--key", "file", "--recovery-file", this.recovery);
    return this;
  }

  async token(name, ...args) {
    return secret(await this.works("token", "create", name, ...args));
  }

  /** SHA-256 of each variable, or of the file a variable names, as a program gets them. */
  async digests(only, variables, isFile = false) {
    const one = (v) => (isFile ? `sha256sum < "$${v}"` : `printf %s "$${v}" | sha256sum`);
    const run = await this.cli("run", "--only", only, "--", "sh", "-c", variables.map(one).join("; "));
    return run.code === 0 ? run.out.trim().split("\n").map((line) => line.slice(0, 64)) : [run.err];
  }

  async holds(name, values, isFile = false) {
    const found = await this.digests(name, Object.keys(values), isFile);
    return Object.values(values).every((value, at) => found[at] === sha(value));
  }

  /** Serves until [`tidy`]; `base` is where. */
  async serve(...args) {
    return started([BINARY, "serve", ...args], "stderr", /listening on (https?:\/\/[^\s:]+:\d+)/, this.env);
  }

  /** The server on standard input and output, in the handshake era. */
  async stdio() {
    const child = spawn(BINARY, ["serve"], { env: this.env, stdio: ["pipe", "pipe", "ignore"] });
    children.add(child);
    const waiting = new Map();
    let rest = "";
    child.stdout.on("data", (data) => {
      const lines = (rest + data).split("\n");
      rest = lines.pop();
      for (const line of lines.filter(Boolean)) {
        const message = JSON.parse(line);
        waiting.get(message.id)?.(message);
      }
    });
    let id = 0;
    const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
    const ask = (method, params) => {
      id += 1;
      send({ id, method, params });
      return new Promise((done) => waiting.set(id, done));
    };
    await ask("initialize", {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "browser tests", version: "1" },
    });
    send({ method: "notifications/initialized" });
    const tool = async (name, args) => answered((await ask("tools/call", { name, arguments: args })).result);
    return { tool };
  }
}

/** One request without a browser; certificates are not looked at. */
export function ask(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((done, fail) => {
    const client = url.startsWith("https:") ? https : http;
    const asked = client.request(url, { method, headers, rejectUnauthorized: false, agent: false }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        done({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(parts).toString() });
      });
    });
    asked.on("error", fail);
    asked.end(body);
  });
}

/** What an assistant does: tools over HTTP, in the era from 2026-07-28. */
export function assistant(base, token, client = "browser tests") {
  let id = 0;
  return async (name, args, as = client) => {
    id += 1;
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: as, version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const answer = await ask(`${base}/mcp`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": name,
      },
      body: JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name, arguments: args, _meta: meta } }),
    });
    const told = JSON.parse(answer.text);
    return told.result ? answered(told.result) : { code: "protocol", ...told.error };
  };
}

/** An authority, and a certificate of its for this machine: paths of PEM files. */
export function certificate(name) {
  const openssl = (...args) => execFileSync("openssl", args, { stdio: ["ignore", "ignore", "ignore"] });
  const [ca, caKey, cert, key, request] = ["ca.pem", "ca.key", "c.pem", "c.key", "c.csr"].map((file) => join(TEMPORARY, `${name}-${file}`));
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...curve, "-keyout", caKey, "-out", ca, "-days", "1", "-subj", "/CN=tests");
  openssl("req", ...curve, "-keyout", key, "-out", request, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1");
  openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", caKey, "-CAcreateserial", "-out", cert, "-days", "1", "-copy_extensions", "copy");
  return { ca, cert, key };
}

/** A server of the test's own; `handle` gets every request. Returns its port. */
export function listen(handle, tls) {
  const server = tls === undefined ? http.createServer(handle) : https.createServer(tls, handle);
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
}

// --- Browser ---

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
let browser;

export async function launch() {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, "--host-resolver-rules=MAP rebound.test 127.0.0.1"] });
}

/** A browser profile of its own. `seen` holds all that a page of ours must never cause. */
export async function visitor(base, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  context.setDefaultTimeout(10_000);
  const seen = { violations: [], errors: [], elsewhere: [], dialogs: [] };
  const documents = new Set();
  let isPaused = false;
  await context.exposeBinding("unsaidViolation", (_, told) => isPaused || seen.violations.push(told));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (e) => {
      window.unsaidViolation(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`);
    });
  });
  context.on("request", (request) => {
    if (request.isNavigationRequest()) documents.add(request.url());
    const { protocol, origin } = new URL(request.url());
    if (protocol !== "data:" && protocol !== "blob:" && origin !== base) seen.elsewhere.push(request.url());
  });
  context.on("console", (message) => {
    const text = message.text();
    // Chromium's own line about a document that came with a status of 400 and more; the icon has a check of its own.
    const { url } = message.location();
    const isStatus = text.startsWith("Failed to load resource") && (documents.has(url) || url.endsWith("/favicon.ico"));
    if (!isPaused && !isStatus && ["error", "warning"].includes(message.type())) {
      seen.errors.push(`${url}: ${text}`);
    }
  });
  context.on("weberror", (e) => seen.errors.push(String(e.error())));
  context.on("dialog", (dialog) => {
    seen.dialogs.push(dialog.message());
    dialog.dismiss().catch(() => {});
  });
  const page = await context.newPage();
  const pause = async (run) => {
    isPaused = true;
    try {
      return await run();
    } finally {
      isPaused = false;
    }
  };
  return { base, context, page, seen, pause };
}

/** Nothing of a visit was reported: no error, no violation, no dialog, no other origin. */
export function clean(check, what, { seen }) {
  check(`${what}: no error on the console`, seen.errors.length === 0, seen.errors);
  check(`${what}: no violation of the policy`, seen.violations.length === 0, seen.violations);
  check(`${what}: no request to another origin`, seen.elsewhere.length === 0, seen.elsewhere);
  check(`${what}: no dialog`, seen.dialogs.length === 0, seen.dialogs);
}

/** The page as it looks, narrow and wide, light and dark; axe finds nothing in any of them. */
export async function look(check, kind, who, page = who.page) {
  const before = page.viewportSize();
  const found = [];
  const wide = [];
  await who.pause(async () => {
    await page.evaluate(AXE);
    for (const [width, height] of [[390, 844], [1440, 900]]) {
      await page.setViewportSize({ width, height });
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        if (SHOTS !== undefined) {
          await page.screenshot({ path: join(SHOTS, `${kind}-${width}-${colorScheme}.png`), fullPage: true });
        }
        const results = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        for (const { id, nodes } of results.violations) {
          found.push(`${width} ${colorScheme} ${id}: ${nodes.map((n) => n.target.join(" ")).join(", ")}`);
        }
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (over > 0) wide.push(`${width}: ${over} px`);
      }
    }
  });
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(before);
  check(`${kind}: axe finds nothing`, found.length === 0, found);
  check(`${kind}: nothing sticks out sideways`, wide.length === 0, wide);
  const raw = (await page.locator("main").innerText()).match(/`[^`]*`|\d{4}-\d\d-\d\dT[\d:.]+Z/g) ?? [];
  check(`${kind}: no backticks and no raw times`, raw.length === 0, raw);
}

// --- Pages, as a person uses them ---

export const path = (page) => new URL(page.url()).pathname;
export const heading = (page) => page.locator("h1").innerText();
export const text = (page) => page.locator("body").innerText();
/** A page of somebody who signed in. */
export const inSession = /^\/u\/[\w-]{43}\//;
let number = 0;
export const name = (start = "KEY") => {
  number += 1;
  return `${start}_${number}_${random(2).toUpperCase()}`;
};

/** A page that came by a click or an address, with its status. */
export async function to(page, act) {
  const came = page.waitForResponse((r) => r.request().isNavigationRequest() && r.frame() === page.mainFrame()
    && ![301, 302, 303].includes(r.status()));
  await act();
  const response = await came;
  await page.waitForLoadState();
  return response.status();
}

export async function openSignIn(who, vault, base = who.base, ...args) {
  const { url } = await vault.json("open", "--server", base, ...args);
  await who.page.goto(url);
  return url;
}

export async function signIn(who, vault, ...args) {
  await openSignIn(who, vault, who.base, ...args);
  await to(who.page, () => who.page.getByRole("button", { name: /Continue as/ }).click());
}

/** Makes a credential and returns its link. */
export async function offered(tool, args) {
  const made = await tool("create_credential", args);
  if (!made.entry) throw new Error(`no link: ${JSON.stringify(made)}`);
  return made.entry;
}

export async function tidy() {
  await browser?.close();
  for (const close of closers) close();
  for (const child of children) child.kill("SIGTERM");
  await sleep(200);
  for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
  rmSync(TEMPORARY, { recursive: true, force: true });
}
