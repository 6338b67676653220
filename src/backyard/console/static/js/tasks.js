// The table of tasks: suggestions for the filter, what is selected, and rows that stay where one looks.
"use strict";

(() => {
  // -- suggestions: a combobox over what the server knows, asked once ------------------------------------------------------

  const field = document.getElementById("q");
  const list = document.getElementById("q-list");
  const MOST = 12; // options at once
  let known = null;
  let options = [];
  let active = -1;

  field.setAttribute("role", "combobox");
  field.setAttribute("aria-autocomplete", "list");
  field.setAttribute("aria-controls", "q-list");
  field.setAttribute("aria-expanded", "false");
  document.getElementById("search").removeAttribute("data-key"); // here "/" leads to the filter itself
  field.dataset.key = "/";

  async function learn() {
    known ??= fetch(field.dataset.suggestions).then((answer) => answer.json()).catch(() => null);
    const found = await known;
    if (!found) known = null;
    return found;
  }

  // The part of the filter that the caret is in, from its beginning.
  function part() {
    const before = field.value.slice(0, field.selectionStart);
    const quoted = (before.match(/"/g) ?? []).length % 2 === 1;
    const start = quoted ? before.lastIndexOf('"') : before.search(/\S*$/);
    return { start, end: field.selectionStart, text: before.slice(start), quoted };
  }

  const plain = (value) => (/^[^\s",\\/][^\s",\\]*$/.test(value) ? value : `"${value.replace(/[\\"]/g, "\\$&")}"`);

  function fitting(found) {
    const { start, end, text, quoted } = part();
    if (quoted) return [];
    const colon = text.indexOf(":");
    const key = text.slice(0, colon).toLowerCase();
    if (colon < 0) {
      const typed = text.toLowerCase();
      const keys = Object.entries(found.keys).filter(([name]) => name.startsWith(typed));
      const values = typed.length < 2 ? [] : ["state", "name"].flatMap((name) => (
        found.values[name].filter((value) => value.toLowerCase().includes(typed)).map((value) => [`${name}:${plain(value)}`, ""])));
      return [
        ...keys.map(([name, hint]) => ({ start, end, text: `${name}:`, label: `${name}:`, hint })),
        ...values.map(([value]) => ({ start, end, text: `${value} `, label: value, hint: "" })),
      ].slice(0, MOST);
    }
    const from = Math.max(colon, text.lastIndexOf(",")) + 1;
    const typed = text.slice(from).toLowerCase();
    const fits = (found.values[key] ?? []).filter((value) => value.toLowerCase().includes(typed) && value !== text.slice(from));
    fits.sort((one, other) => other.toLowerCase().startsWith(typed) - one.toLowerCase().startsWith(typed));
    return fits.slice(0, MOST).map((value) => ({ start: start + from, end, text: `${plain(value)} `, label: value, hint: "" }));
  }

  function mark(at) {
    active = at;
    for (const [index, one] of [...list.children].entries()) one.setAttribute("aria-selected", String(index === at));
    if (at < 0) field.removeAttribute("aria-activedescendant");
    else {
      field.setAttribute("aria-activedescendant", list.children[at].id);
      list.children[at].scrollIntoView({ block: "nearest" });
    }
  }

  function fold() {
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    mark(-1);
  }

  async function offer() {
    const found = await learn();
    options = found && document.activeElement === field ? fitting(found) : [];
    list.replaceChildren(...options.map((option, at) => {
      const row = document.createElement("li");
      row.id = `q-option-${at}`;
      row.setAttribute("role", "option");
      for (const [tag, text] of [["span", option.label], ["small", option.hint]]) {
        const piece = document.createElement(tag);
        piece.textContent = text;
        row.append(piece);
      }
      return row;
    }));
    fold();
    if (!options.length) return;
    list.hidden = false;
    field.setAttribute("aria-expanded", "true");
  }

  function take(option) {
    field.setRangeText(option.text, option.start, option.end, "end");
    field.focus();
    offer();
  }

  field.addEventListener("focus", offer);
  field.addEventListener("input", offer);
  field.addEventListener("click", offer);
  field.addEventListener("blur", fold);
  list.addEventListener("mousedown", (event) => {
    event.preventDefault(); // the field keeps the focus
    const row = event.target.closest("[role=option]");
    if (row) take(options[[...list.children].indexOf(row)]);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && list.hidden) offer();
    else if (list.hidden) return;
    else if (event.key === "ArrowDown") mark((active + 1) % options.length);
    else if (event.key === "ArrowUp") mark(active <= 0 ? options.length - 1 : active - 1);
    else if (event.key === "Enter" && active >= 0) take(options[active]);
    else if (event.key === "Escape") {
      event.stopPropagation();
      fold();
    } else return;
    event.preventDefault();
  });

  // -- what is selected: kept while the rows are drawn anew --------------------------------------------------------------

  const bulk = document.getElementById("bulk");
  const scope = document.getElementById("scope");
  const selected = new Set();
  const region = () => document.getElementById("task-table");
  const boxes = () => [...region().querySelectorAll("tbody input[type=checkbox]")];

  function show() {
    const all = boxes();
    for (const box of all) {
      box.checked = selected.has(box.value);
      box.closest("tr").classList.toggle("selected", box.checked);
    }
    const head = region().querySelector("[data-all]");
    if (head) {
      head.hidden = false;
      const count = all.filter((box) => box.checked).length;
      head.checked = count > 0 && count === all.length;
      head.indeterminate = count > 0 && count < all.length;
    }
    const option = scope.options[0];
    option.textContent = selected.size ? `${selected.size} selected` : option.dataset.label;
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("#task-table [data-all]")) {
      for (const box of boxes()) event.target.checked ? selected.add(box.value) : selected.delete(box.value);
    } else if (event.target.matches("#task-table tbody input[type=checkbox]")) {
      event.target.checked ? selected.add(event.target.value) : selected.delete(event.target.value);
    } else return;
    scope.value = "selected";
    show();
    rest();
  });

  // The question opens as a dialog; a row that has the focus counts as selected where none is.
  bulk.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = new URLSearchParams({ verb: event.submitter.value, scope: scope.value });
    if (scope.value === "all") given.set("q", bulk.elements.q.value);
    else {
      const row = document.activeElement.closest("[data-row]");
      const ids = selected.size ? [...selected] : row ? [row.querySelector("input[type=checkbox]").value] : [];
      if (!ids.length) return say("Select tasks first, or choose all that match.");
      for (const id of ids) given.append("task_id", id);
    }
    ask({ href: `${bulk.action}?${given}` });
  });

  // -- rows that stay: new tasks come in at the top, but not while one is in the table ------------------------------------

  const held = document.querySelector("[data-held]");
  const still = () => region().querySelector("table")?.hasAttribute("data-still") ?? true;
  const within = () => selected.size > 0 || region().querySelector("tbody")?.matches(":hover, :focus-within") === true;
  let here = "";

  function rest() {
    const now = !still() && within();
    if (now && !here) here = region().querySelector("table").dataset.here;
    if (!now && here) {
      here = "";
      htmx.trigger(region(), "changed");
    }
    held.hidden = !here;
  }

  document.addEventListener("htmx:configRequest", (event) => {
    if (event.target.id === "task-table" && here) event.detail.headers["X-Held"] = here;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "task-table") show();
  });
  for (const name of ["pointerover", "focusin", "focusout"]) document.addEventListener(name, () => queueMicrotask(rest));
  document.documentElement.addEventListener("pointerleave", rest);

  // A menu closes where one goes elsewhere.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.drop[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest("details.drop[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  show();
})();
