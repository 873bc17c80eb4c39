// Tells the operator when the page has gone deaf, and asks for new buttons when what
// can be done has changed. The look of it is CSS, under `data-lost` on the root.
(() => {
  "use strict";

  const DEAF_AFTER_MS = 15000;
  const root = document.documentElement;
  let heardAt = performance.now();
  let lastGood = momentText();

  function moment() {
    return document.querySelector("[data-moment]");
  }

  function momentText() {
    return moment() ? moment().textContent : "";
  }

  function show(lost) {
    const notice = document.querySelector(".lost");
    root.toggleAttribute("data-lost", lost);
    notice.hidden = !lost;
    notice.querySelector("[data-last-good]").textContent = lastGood;
    lockButtons();
  }

  function lockButtons() {
    const lost = root.hasAttribute("data-lost");
    for (const button of document.querySelectorAll("[data-act]")) {
      button.disabled = lost;
    }
  }

  document.addEventListener("htmx:sseMessage", () => {
    heardAt = performance.now();
    lastGood = momentText();
    if (root.hasAttribute("data-lost")) show(false);
    const actions = document.getElementById("actions");
    if (moment().dataset.key !== actions.dataset.key) {
      htmx.trigger(actions, "changed");
    }
  });
  document.addEventListener("htmx:load", lockButtons);

  setInterval(() => {
    const lost = performance.now() - heardAt > DEAF_AFTER_MS;
    if (lost && !root.hasAttribute("data-lost")) show(true);
  }, 1000);
})();
