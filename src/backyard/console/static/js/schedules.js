// Ticks on the viewer's own clock, beside those of the schedule's zone where the two differ.
"use strict";

const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

function tellLocal(root) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    const moment = new Date(time.dateTime);
    const own = moment.toLocaleString(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    const differs = time.dataset.local !== ZONE;
    time.textContent = `${own} your time`;
    time.title = ZONE;
    time.hidden = !differs;
    const cell = time.closest("[data-local-head]");
    if (!cell) continue;
    time.textContent = own;
    for (const part of time.closest("table").querySelectorAll("[data-local-head]")) part.hidden = !differs;
  }
}

document.addEventListener("htmx:afterSwap", () => tellLocal(document));
tellLocal(document);

// A new schedule's clock is first taken to hang where its maker sits.
const zone = document.querySelector("input[data-own-zone]");
if (zone && ZONE) {
  zone.value = ZONE;
  zone.dispatchEvent(new Event("input", { bubbles: true }));
}

// Another definition asks for another input: the button that draws the form anew is pressed for whoever chooses one.
document.addEventListener("change", (event) => {
  if (event.target.closest("[data-draws]")?.value) document.querySelector("[data-draw]").click();
});
