// Shows the definition of a marked term beside it: on hover, on keyboard focus, and on the first tap.
(() => {
  const definitions = window.glossaryDefinitions || {};
  const tip = document.createElement("div");
  tip.id = "glossary-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  let shown = null;
  let timer = 0;

  const definitionOf = (term) => definitions[decodeURIComponent(term.hash.slice(1))];

  const hide = () => {
    clearTimeout(timer);
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    tip.hidden = true;
  };

  const show = (term) => {
    const text = definitionOf(term);
    clearTimeout(timer);
    if (!text || shown === term) return;
    hide();
    shown = term;
    tip.textContent = text;
    tip.hidden = false;
    term.setAttribute("aria-describedby", tip.id);
    const box = term.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const below = box.bottom + tip.offsetHeight + 8 < window.innerHeight;
    tip.style.left = `${Math.max(8, left) + window.scrollX}px`;
    tip.style.top = `${(below ? box.bottom + 4 : box.top - tip.offsetHeight - 4) + window.scrollY}px`;
  };

  // The pointer may travel from the term into the definition without losing it.
  const hideSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(hide, 200);
  };

  document.body.append(tip);
  tip.addEventListener("pointerenter", () => clearTimeout(timer));
  tip.addEventListener("pointerleave", hideSoon);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("pointerdown", (event) => event.target.closest("a.term, #glossary-tip") || hide());
  for (const term of document.querySelectorAll("a.term")) {
    let touched = false;
    term.addEventListener("pointerdown", (event) => { touched = event.pointerType === "touch" && shown !== term; });
    term.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && show(term));
    term.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideSoon());
    term.addEventListener("focus", () => show(term));
    term.addEventListener("blur", hideSoon);
    term.addEventListener("click", (event) => {
      if (touched && definitionOf(term)) {
        event.preventDefault();
        show(term);
      }
      touched = false;
    });
  }
})();
