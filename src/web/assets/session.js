// Remembers where this browser's session lives, so that an entry link opened from elsewhere can go on in it.
// Only the path prefix is kept; it opens nothing without the session's cookie.
const KEY = "unsaid.session";
const PREFIX = /^\/u\/[A-Za-z0-9_-]{43}$/;
const LINK = /^[A-Za-z0-9_-]{1,128}$/;

const { session, link, signedOut } = document.body.dataset;
try {
  if (session !== undefined && PREFIX.test(session)) localStorage.setItem(KEY, session);
  if (signedOut !== undefined) localStorage.removeItem(KEY);
  if (link !== undefined && LINK.test(link)) follow(link);
} catch {
  // A browser that keeps nothing (private mode, storage off) asks for the sign-in again; that is all.
}

/** Goes on in the remembered session, once for each link: a dead session comes back here and stays. */
function follow(link) {
  const prefix = localStorage.getItem(KEY);
  const tried = `unsaid.tried.${link}`;
  if (prefix === null || !PREFIX.test(prefix) || sessionStorage.getItem(tried) !== null) return;
  sessionStorage.setItem(tried, "1");
  location.replace(`${prefix}/e/${link}`);
}
