// What every page can do: look anew when something changed, open dialogs, keys, theme, times, copying. Pages work without it.
"use strict";

const BASE = document.body.dataset.base;
const STREAM_FAILED_POLL = 5000; // ms between two looks while the stream does not answer

function say(text) {
  document.querySelector("[data-said]").textContent = text;
}

// -- what has changed: one stream a page, closed while nobody looks ------------------------------------------------------

// What the viewer has folded or unfolded stays so when its region is drawn anew.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) => !(name === "open" && element.matches("details"));

let stream = null;
let polling = null;

// However slow the machine, and however large the page: what is drawn anew takes a small part of a core.
const REST = 16; // times as long as drawing took
const LONGEST_REST = 3000; // ms
let drawing = 0; // when that began
let notBefore = 0; // when the next look may be
const waiting = new Set(); // topics that it will be about

document.addEventListener("htmx:beforeSwap", () => { drawing ||= performance.now(); });
document.addEventListener("htmx:afterSettle", () => requestAnimationFrame(() => setTimeout(() => {
  if (!drawing) return;
  notBefore = performance.now() + Math.min(LONGEST_REST, REST * (performance.now() - drawing));
  drawing = 0;
})));

function look(topics) {
  const early = notBefore - performance.now();
  if (early > 0) {
    if (!waiting.size) setTimeout(() => look([...waiting]), early);
    for (const topic of topics) waiting.add(topic);
    return;
  }
  waiting.clear();
  for (const region of document.querySelectorAll("[data-live]")) {
    if (region.dataset.live.split(" ").some((topic) => topics.includes(topic))) htmx.trigger(region, "changed");
  }
}

function open() {
  if (stream || document.hidden || !document.querySelector("[data-live]")) return;
  const task = document.body.dataset.task;
  stream = new EventSource(`${BASE}/live${task ? `?task=${encodeURIComponent(task)}` : ""}`);
  stream.addEventListener("open", () => {
    clearInterval(polling);
    polling = null;
  });
  stream.addEventListener("changed", (event) => look(event.data.split(" ")));
  stream.addEventListener("error", () => {
    polling ??= setInterval(() => look(["tasks", "task", "clock"]), STREAM_FAILED_POLL);
    if (stream?.readyState === EventSource.CLOSED) {
      stream = null;
      setTimeout(open, STREAM_FAILED_POLL);
    }
  });
}

function close() {
  stream?.close();
  stream = null;
  clearInterval(polling);
  polling = null;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return close();
  look(["tasks", "task", "clock"]);
  open();
});
addEventListener("pagehide", close);
addEventListener("pageshow", open);

document.addEventListener("htmx:afterRequest", (event) => {
  document.querySelector("[data-offline]").hidden = event.detail.successful === true;
});

// -- the menu of a phone: it scrolls sideways, and begins where one is ----------------------------------------------------

const menu = document.querySelector(".side");
const current = menu.querySelector("[aria-current]");
if (current) menu.scrollLeft = current.offsetLeft - menu.offsetLeft - 16;

// -- dialogs: a page that asks, within the page ------------------------------------------------------------------------

const dialog = document.getElementById("dialog");

async function ask(link) {
  const answer = await fetch(link.href, { headers: { "HX-Request": "true" } });
  if (!answer.ok && answer.status >= 500) return location.assign(link.href);
  const body = document.getElementById("dialog-body");
  body.innerHTML = await answer.text();
  htmx.process(body);
  dressed(body);
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-dialog]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    ask(link);
  } else if (event.target.closest("#dialog [data-close]") || event.target === dialog) {
    event.preventDefault();
    dialog.close();
  }
});

// -- theme -------------------------------------------------------------------------------------------------------------

document.querySelector("[data-theme-switch]").closest("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = (document.documentElement.dataset.theme ?? (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  fetch(event.target.action, { method: "POST", body: new URLSearchParams({ theme }), redirect: "manual" });
});

// -- times: how long ago, in words that stay true; the exact time in the viewer's own zone --------------------------------

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function rough(seconds) {
  const [unit, name] = UNITS.find(([length]) => seconds >= length) ?? UNITS.at(-1);
  return `${Math.floor(seconds / unit)} ${name}`;
}

function tellTimes(root = document) {
  const now = Date.now();
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const seconds = (now - Date.parse(time.dateTime)) / 1000;
    const text = Math.abs(seconds) < 1 ? "now" : seconds > 0 ? `${rough(seconds)} ago` : `in ${rough(-seconds)}`;
    if (time.textContent !== text) time.textContent = text;
  }
}

// Only where one points at it: writing all of them takes longer than all else that a table does.
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[data-ago], time[data-since]");
  if (!time || time.dataset.zoned) return;
  time.title = `${new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" })} (${time.title})`;
  time.dataset.zoned = "yes";
});

setInterval(() => document.hidden || tellTimes(), 5000);

// What goes on lasts longer every second.
function lasting(seconds) {
  const at = UNITS.findIndex(([length]) => seconds >= length);
  if (at < 0) return "0 s";
  const [unit, name] = UNITS[at];
  const [small, smallName] = UNITS[at + 1] ?? [unit, ""];
  const rest = Math.floor((seconds % unit) / small);
  return `${Math.floor(seconds / unit)} ${name}${rest ? ` ${rest} ${smallName}` : ""}`;
}

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-since]")) {
    const text = lasting((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}, 1000);

// -- copying -------------------------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy || button.parentElement.querySelector("pre").textContent;
  await navigator.clipboard.writeText(text);
  say("Copied");
  const label = button.querySelector("span");
  if (!label) return;
  const before = label.textContent;
  label.textContent = "Copied";
  setTimeout(() => { label.textContent = before; }, 1500);
});

// -- keys ------------------------------------------------------------------------------------------------------------------

const PLACES = { o: "/", t: "/tasks", d: "/definitions", q: "/queues", w: "/workers", s: "/schedules", e: "/errors" };
let going = false;

function rows() {
  return [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
}

function step(by) {
  const all = rows();
  const here = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[Math.max(0, Math.min(all.length - 1, here < 0 ? (by > 0 ? 0 : all.length - 1) : here + by))];
  next?.querySelector("[data-row-link], a")?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (field) {
    if (event.key === "Escape" && !dialog.open) field.blur();
    return;
  }
  if (dialog.open) return;
  if (going) {
    going = false;
    if (event.key in PLACES) location.assign(BASE + PLACES[event.key]);
    return;
  }
  const actions = {
    g: () => { going = true; },
    j: () => step(1),
    k: () => step(-1),
    x: () => document.activeElement.closest("[data-row]")?.querySelector("input[type=checkbox]")?.click(),
  };
  const named = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (event.key in actions) actions[event.key]();
  else if (named?.matches("input")) named.focus();
  else if (named) named.click();
  else return;
  event.preventDefault();
});

// -- what only works with scripts is shown where they run ----------------------------------------------------------------

function dressed(root) {
  for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
  tellTimes(root);
}

document.addEventListener("htmx:afterSettle", (event) => dressed(event.target));
dressed(document);
open();
