// The pages a person sees: signing in, and allowing what a client asks for. No script in them.

const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

const page = (title, body) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>
<body><main><h1>${title}</h1>${body}</main></body></html>`;

export const signIn = (client) =>
  page(
    "Sign in",
    `<p>Sign in to continue to <b>${escaped(client)}</b></p><form method="post" autocomplete="off">
<p><label>User <input name="login" required autofocus></label></p>
<p><label>Password <input name="password" type="password" required></label></p>
<button type="submit">Sign in</button></form>`,
  );

export const wrongPassword = () => page("Sign in", '<p role="alert">wrong password</p>');

export const consent = (client, asked) =>
  page(
    "Authorize",
    `<p><b>${escaped(client)}</b> asks for: <code>${escaped(JSON.stringify(asked))}</code></p><form method="post">
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny" formnovalidate>Deny</button></form>`,
  );

export const failed = (out) => page("Authorization error", `<pre id="error">${escaped(JSON.stringify(out))}</pre>`);
