"use strict";
// Folded sections open where a link leads into them, and in print, which is always on white.
(() => {
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    // A label stands as an empty element at the head of its section, before what is folded.
    const section = target.matches("section") ? target : target.parentElement;
    const folds = [...section.querySelectorAll(":scope > details.deeper")];
    for (let part = target.closest("details.deeper"); part; part = part.parentElement.closest("details.deeper")) folds.push(part);
    if (folds.some((part) => !part.open)) {
      folds.forEach((part) => { part.open = true; });
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.getAttribute("href") === location.hash) open();
  });
  let folded = [], theme = null;
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details.deeper:not([open])")];
    folded.forEach((part) => { part.open = true; });
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    folded.forEach((part) => { part.open = false; });
    if (theme) document.documentElement.dataset.theme = theme;
  });
  open();
})();
