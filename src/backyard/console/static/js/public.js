// The page of a public link: looks again when it is told that something changed. Without scripts it reloads itself.
"use strict";

const events = document.getElementById("task").dataset.events;

async function look() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const [before, after] = [document.getElementById("task"), page.getElementById("task")];
  // Only what is new is put in: a screen reader is told of that alone, and a focused link keeps its focus.
  if (after && before.innerHTML !== after.innerHTML) before.replaceWith(after);
  document.title = page.title;
}

if (document.getElementById("task").dataset.final === "no") {
  const stream = new EventSource(events);
  let first = true;
  stream.addEventListener("status", () => {
    if (!first) look();
    first = false;
  });
  stream.addEventListener("end", () => {
    stream.close();
    look();
  });
}
