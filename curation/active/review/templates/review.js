"use strict";
// Keyboard, and what the main button will do. Everything works without this file, by mouse and Tab.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const task = document.getElementById("task");
  const opened = performance.now();
  const typing = (node) => node.closest && node.closest("textarea, select, input:not([type=checkbox]):not([type=radio])");

  function boxes() { return task ? all(".elements input", task) : []; }

  // The main button says what Enter will do.
  function label() {
    if (!task) return;
    const changed = all("textarea", task).filter((t) => {
      const is = t.value !== t.defaultValue;
      t.classList.toggle("changed", is);
      return is;
    }).length;
    const off = boxes().filter((b) => b.checked).length;
    const codes = all(".codes input[name=reason]", task).filter((b) => b.checked).length;
    const primary = task.querySelector(".act .primary"), verb = primary.querySelector(".verb");
    const correcting = task.dataset.stage === "correct";
    const again = all(".was", task).length > 0;
    const reject = !changed && !correcting && !again && off + codes > 0;
    primary.classList.toggle("fail", reject);
    verb.textContent = changed || again ? "Save correction" : correcting ? "Keep the text" :
      reject ? `Reject${off ? `: ${off} not shown` : ""}` : "Accept";
  }

  function press(selector) {
    const button = document.querySelector(selector);
    if (button && !button.disabled) button.click();
  }

  function step(by) {
    const list = boxes();
    if (!list.length) return;
    const at = list.indexOf(document.activeElement);
    list[at < 0 ? (by > 0 ? 0 : list.length - 1) : (at + by + list.length) % list.length].focus();
  }

  function rate(by) {
    const list = all(".scale input", task);
    const at = list.findIndex((r) => r.checked);
    const to = at < 0 ? 4 : Math.min(list.length - 1, Math.max(0, at + by));
    list[to].checked = true;
  }

  // Before and after in the same place: what differs jumps to the eye.
  function compare() {
    const stage = document.querySelector(".pair .pictures");
    if (!stage) return;
    const figures = all("figure", stage);
    const shown = figures.findIndex((f) => !f.classList.contains("hid"));
    const on = stage.classList.toggle("comparing", !stage.classList.contains("comparing") || shown < figures.length - 1);
    const next = on && stage.dataset.on ? shown + 1 : 0;
    stage.dataset.on = on ? "1" : "";
    figures.forEach((f, i) => f.classList.toggle("hid", on && i !== next));
  }

  function zoom(link) {
    const dialog = document.getElementById("zoom");
    dialog.querySelector("img").src = link.getAttribute("href");
    dialog.showModal();
  }

  const letters = {
    e: () => { const first = document.querySelector(".lang textarea"); first.focus(); first.setSelectionRange(first.value.length, first.value.length); },
    j: () => step(1), k: () => step(-1), c: compare,
    f: () => { const link = all("[data-zoom]").pop(); if (link) zoom(link); },
    "-": () => rate(-1), "=": () => rate(1), "+": () => rate(1),
    "?": () => document.getElementById("keys").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) {
      if (event.key === "f") { event.preventDefault(); document.getElementById("zoom").close(); }
      return;
    }
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && task) { event.preventDefault(); press("#task .act .primary"); }
      else if (event.key === "Enter" && event.target.name === "note") { event.preventDefault(); press("#task .act .primary"); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "/") {
      const filter = document.querySelector(".filter");
      if (filter) { event.preventDefault(); filter.open = true; document.getElementById("find").focus(); }
      return;
    }
    if (event.key === "Escape") { const filter = document.querySelector(".filter[open]"); if (filter) filter.open = false; return; }
    if (event.key === "Enter") {
      if (!task || event.target.closest("a, button, summary")) return;
      event.preventDefault();
      if (!event.repeat) press("#task .act .primary");
      return;
    }
    if (event.repeat && !"jk-=+".includes(event.key)) return;
    const key = event.key.toLowerCase();
    if (task && key >= "1" && key <= "9") {
      const box = boxes()[Number(key) - 1];
      if (box) { event.preventDefault(); box.checked = !box.checked; label(); }
    } else if (task && letters[key]) {
      event.preventDefault();
      letters[key]();
    } else {
      const node = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (node && !node.disabled) { event.preventDefault(); node.click(); }
    }
  });

  for (const link of all("[data-zoom]")) link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    zoom(link);
  });
  const big = document.getElementById("zoom");
  if (big) big.addEventListener("click", () => big.close());
  for (const button of all(".unveil")) button.addEventListener("click", () => button.parentElement.classList.add("shown"));
  if (!task) return;

  task.addEventListener("input", label);
  let sent = false;
  task.addEventListener("submit", (event) => {
    if (sent) { event.preventDefault(); return; }
    sent = true;
    task.elements.took_ms.value = Math.round(performance.now() - opened);
  });
  // A page that comes back from the browser's history shows a task that is decided: ask the server.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // While somebody is here, the task stays theirs.
  let alive = true;
  for (const sign of ["keydown", "pointermove", "scroll"]) document.addEventListener(sign, () => { alive = true; }, { passive: true });
  setInterval(() => {
    if (!alive || document.hidden) return;
    alive = false;
    fetch(`/hold/${task.dataset.id}`, {
      method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ form_key: task.elements.form_key.value }),
    }).catch(() => {});
  }, 60000);
  label();
})();
