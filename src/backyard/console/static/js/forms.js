// Forms made from JSON schemas: rows, variants and JSON without leaving the page. Without it, the same buttons load the page anew.
"use strict";

// -- a form drawn anew by the server, with all that was typed ------------------------------------------------------------

const PARTS = ["input-form", "options-fields"];
let redrawing = Promise.resolve();

async function redrawn(form, name, value) {
  const data = new FormData(form);
  // Chosen files stay where they are chosen: they are sent once, with the whole form.
  for (const [key, one] of [...data]) if (one instanceof File) data.delete(key);
  data.append(name, value);
  const body = form.enctype === "multipart/form-data" ? data : new URLSearchParams(data);
  const answer = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { "HX-Request": "true" } });
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of PARTS) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (old && fresh) Idiomorph.morph(old, fresh, { morphStyle: "outerHTML", ignoreActiveValue: true });
  }
  dressForms();
  focusOn(page);
}

function focusOn(page) {
  for (const id of PARTS) {
    const changed = page.getElementById(id)?.dataset.changed;
    if (!changed) continue;
    const place = document.querySelector(`[data-field="${CSS.escape(changed)}"]`);
    const row = place?.closest("li[data-row-of]") ?? place;
    row?.querySelector("input:not([type=hidden]), select, textarea, button")?.focus();
  }
  document.getElementById("input-summary")?.focus();
}

function redraw(form, button) {
  const { name, value } = button; // by its turn, the button may be another
  // One after the other: each begins with what the one before has drawn.
  redrawing = redrawing.then(() => redrawn(form, name, value)).catch(() => form.requestSubmit(button));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-form] button[data-redraw]");
  if (!button) return;
  event.preventDefault();
  redraw(button.form, button);
});

document.addEventListener("change", (event) => {
  const select = event.target.closest("[data-form] select[data-redraws]");
  const button = select?.parentElement.querySelector("button");
  if (button) redraw(select.form, button);
  dressForms();
});

// -- what is not meant is not checked; a moment is first of the viewer's own zone ---------------------------------------

function dressForms() {
  for (const place of document.querySelectorAll("[data-form] .presence")) {
    const meant = place.querySelector(":scope > .which > select").value === "value";
    for (const control of place.querySelectorAll(":scope > .body :is(input, textarea, select)")) control.disabled = !meant;
  }
  for (const field of document.querySelectorAll("[data-form] [data-zone-default]")) {
    field.value = Intl.DateTimeFormat().resolvedOptions().timeZone || field.value;
    field.removeAttribute("data-zone-default");
  }
}

dressForms();
