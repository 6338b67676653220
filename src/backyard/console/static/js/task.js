// The page of one task: its log keeps to its end while it is read there.
"use strict";

const NEAR = 24; // px from the end that count as the end
let following = true;

function toTheEnd() {
  const log = document.getElementById("log-lines");
  if (log && following) log.scrollTop = log.scrollHeight;
}

// A scroll event does not bubble, and a log that is drawn anew may be another element.
document.addEventListener("scroll", (event) => {
  const log = event.target;
  if (log.id === "log-lines") following = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
}, true);
// One answer renews several regions, of which the shared script knows the first.
document.addEventListener("htmx:afterSettle", () => {
  dressed(document);
  toTheEnd();
});
toTheEnd();
