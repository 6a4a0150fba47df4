// What the forms do better with script on: show what was typed, take a dropped file, count down, submit once,
// and, where the page names a key, seal the values in this browser before they are sent (HPKE, RFC 9180).
// Nothing here stores or logs a value, and no string ever becomes markup or code.

const bytesOf = (text) => new TextEncoder().encode(text);

/** Makes one element; `attributes` that are undefined are left out. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// --- Show what I typed ---

for (const input of document.querySelectorAll("input[type=password], textarea.masked")) {
  const label = input.labels[0]?.textContent ?? "";
  const button = make(
    "button",
    { type: "button", class: "quiet reveal", "aria-pressed": "false", "aria-controls": input.id },
    "Show what I typed",
    make("span", { class: "away" }, ` in ${label}`),
  );
  button.addEventListener("click", () => show(input, button.getAttribute("aria-pressed") === "false"));
  input.after(button);
}

function show(input, isShown) {
  input.parentElement.querySelector(".reveal")?.setAttribute("aria-pressed", String(isShown));
  const [text] = input.parentElement.querySelector(".reveal")?.childNodes ?? [];
  if (text) text.data = isShown ? "Hide what I typed" : "Show what I typed";
  input.classList.toggle("revealed", isShown);
  if (input instanceof HTMLTextAreaElement) input.classList.toggle("masked", !isShown);
  else input.type = isShown ? "text" : "password";
}

// --- A file: chosen or dropped ---

const fileInput = document.querySelector("input[type=file][data-most-bytes]");
if (fileInput !== null) {
  const form = fileInput.form;
  const said = make("p", { class: "hint", role: "status" }, "You can also drop it on this form.");
  fileInput.closest(".field").append(said);
  const check = () => {
    const file = fileInput.files[0];
    const isTooBig = file !== undefined && file.size > Number(fileInput.dataset.mostBytes);
    if (isTooBig) fileInput.value = "";
    complain(form, isTooBig ? `${file.name} is too big: ${sizeText(file.size)}. It was not sent.` : "");
    said.textContent = file === undefined || isTooBig ? "" : `Chosen: ${file.name}, ${sizeText(file.size)}.`;
  };
  fileInput.addEventListener("change", check);
  // Anywhere else on the page a dropped file would be opened by the browser, in place of the form.
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (hasFile(event)) event.preventDefault();
    });
  }
  form.addEventListener("dragover", (event) => form.classList.toggle("is-over", hasFile(event)));
  form.addEventListener("dragleave", () => form.classList.remove("is-over"));
  form.addEventListener("drop", (event) => {
    form.classList.remove("is-over");
    if (!hasFile(event)) return;
    if (event.dataTransfer.files.length !== 1) return complain(form, "Drop one file, not several.");
    fileInput.files = event.dataTransfer.files;
    check();
  });
}

function hasFile(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

function sizeText(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;
}

// --- Submit once, sealed where asked ---

for (const form of document.forms) {
  form.addEventListener("submit", (event) => submit(event, form));
  if (form.dataset.sealKey !== undefined) {
    form.append(
      make("p", { class: "hint" }, "What you enter is encrypted in this browser before it is sent."),
    );
  }
}
// Back to a kept page: empty again, and ready.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.forms) {
    form.reset();
    rest(form);
  }
});

function submit(event, form) {
  if (form.dataset.busy !== undefined) return event.preventDefault();
  form.dataset.busy = "";
  const isDecline = event.submitter?.name === "decline";
  if (isDecline) {
    forget(form);
  } else if (form.dataset.sealKey !== undefined) {
    event.preventDefault();
    sealAndSend(form);
  }
  // Later, because a disabled button would be left out of what is sent.
  setTimeout(() => {
    if (form.dataset.busy !== undefined) for (const b of buttons(form)) b.disabled = true;
  });
}

function rest(form) {
  delete form.dataset.busy;
  for (const control of [...buttons(form), ...values(form)]) control.disabled = false;
  form.querySelector("input[name=sealed]")?.remove();
}

function buttons(form) {
  return form.querySelectorAll("button");
}

function values(form) {
  return [...form.elements].filter((control) => control.name.startsWith("f.") || control.type === "file");
}

function forget(form) {
  for (const control of values(form)) {
    control.value = "";
    control.disabled = true;
  }
}

/** Shows one message above the form, or takes it away. */
function complain(form, text) {
  form.querySelector(":scope > .callout")?.remove();
  if (text !== "") form.prepend(make("div", { class: "callout bad", role: "alert" }, make("p", {}, text)));
}

async function sealAndSend(form) {
  complain(form, "");
  try {
    const message = await collect(form);
    const sealed = await seal(fromBase64(form.dataset.sealKey), bytesOf(form.dataset.sealInfo), message);
    message.fill(0);
    form.append(make("input", { type: "hidden", name: "sealed", value: toBase64(sealed, true) }));
    forget(form);
    HTMLFormElement.prototype.submit.call(form);
  } catch {
    rest(form);
    complain(
      form,
      "This browser could not encrypt what you entered, so nothing was sent. Try again, or use a terminal.",
    );
  }
}

async function collect(form) {
  const fields = {};
  let file = null;
  for (const control of values(form)) {
    if (control.type === "file") {
      const chosen = control.files[0];
      if (chosen !== undefined) {
        file = { name: chosen.name, content: toBase64(new Uint8Array(await chosen.arrayBuffer()), false) };
      }
    } else if (control.value !== "") {
      fields[control.name.slice(2)] = control.value;
    }
  }
  return bytesOf(JSON.stringify({ fields, file }));
}

function toBase64(bytes, isForUrl) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  const base64 = btoa(text);
  return isForUrl ? base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "") : base64;
}

function fromBase64(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
}

// --- HPKE base mode: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM ---

const KEM = [...bytesOf("KEM"), 0x00, 0x10];
const SUITE = [...bytesOf("HPKE"), 0x00, 0x10, 0x00, 0x01, 0x00, 0x02];
const NONE = new Uint8Array();

/** `enc || ciphertext` of RFC 9180 §6.1 `SealBase`, with an empty aad. */
async function seal(recipient, info, message) {
  const curve = { name: "ECDH", namedCurve: "P-256" };
  const theirs = await crypto.subtle.importKey("raw", recipient, curve, false, []);
  const ours = await crypto.subtle.generateKey(curve, false, ["deriveBits"]);
  const enc = new Uint8Array(await crypto.subtle.exportKey("raw", ours.publicKey));
  const dh = new Uint8Array(
    await crypto.subtle.deriveBits({ name: "ECDH", public: theirs }, ours.privateKey, 256),
  );
  const shared = await expand(
    KEM,
    await extract(KEM, NONE, "eae_prk", dh),
    "shared_secret",
    join(enc, recipient),
    32,
  );

  const context = join(
    [0],
    await extract(SUITE, NONE, "psk_id_hash", NONE),
    await extract(SUITE, NONE, "info_hash", info),
  );
  const secret = await extract(SUITE, shared, "secret", NONE);
  const raw = await expand(SUITE, secret, "key", context, 32);
  const iv = await expand(SUITE, secret, "base_nonce", context, 12);
  const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt"]);
  return join(enc, new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, message)));
}

function extract(suite, salt, label, input) {
  // An empty HMAC key is refused by WebCrypto; a block of zeros is the same key (RFC 5869 §2.2).
  return hmac(
    salt.length === 0 ? new Uint8Array(32) : salt,
    join(bytesOf("HPKE-v1"), suite, bytesOf(label), input),
  );
}

/** At most one block of HKDF-Expand: `length` is 32 or less everywhere here. */
async function expand(suite, prk, label, info, length) {
  const block = await hmac(prk, join([0, length], bytesOf("HPKE-v1"), suite, bytesOf(label), info, [1]));
  return block.slice(0, length);
}

async function hmac(key, message) {
  const usable = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
  ]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", usable, message));
}

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// --- Time left ---

const clocks = [...document.querySelectorAll("time[data-expires]")].map((time) => {
  const left = make("span", { class: "left", "aria-live": "off" });
  time.after(" ", left);
  return { ends: Date.parse(time.dataset.expires), left };
});
const tick = () => {
  for (const { ends, left } of clocks) left.textContent = leftText(Math.ceil((ends - Date.now()) / 1000));
};
if (clocks.length > 0) {
  tick();
  setInterval(tick, 1000);
}

function leftText(seconds) {
  if (Number.isNaN(seconds)) return "";
  if (seconds <= 0) return "(expired)";
  const [days, hours, minutes] = [
    Math.floor(seconds / 86400),
    Math.floor(seconds / 3600),
    Math.floor(seconds / 60),
  ];
  if (days >= 2) return `(${days} days left)`;
  if (hours >= 1) return `(${hours} h ${minutes % 60} min left)`;
  return minutes >= 1 ? `(${minutes} min ${seconds % 60} s left)` : `(${seconds} s left)`;
}
