"use strict";
// Blurred images: a click, or a key on the focused image, shows and hides them.
for (const button of document.querySelectorAll("button.veil")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!shown));
  });
}
// The section in view is marked in the navigation.
const links = [...document.querySelectorAll("nav a")];
const sections = links.map((link) => document.getElementById(link.hash.slice(1)));
let current = null;
const mark = () => {
  const line = Math.min(innerHeight * 0.3, 240);
  const passed = sections.filter((section) => section.getBoundingClientRect().top <= line);
  const link = links[passed.length - 1] || null;
  if (link === current) return;
  if (current) current.removeAttribute("aria-current");
  current = link;
  if (!link) return;
  link.setAttribute("aria-current", "true");
  const bar = link.parentElement;
  bar.scrollTo({ left: link.offsetLeft - bar.clientWidth / 2 + link.offsetWidth / 2 });
};
addEventListener("scroll", mark, { passive: true });
mark();
