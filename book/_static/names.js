// Names: those that the theme and Sphinx leave for a screen reader to guess, and long ones.
document.addEventListener("DOMContentLoaded", () => {
  // Arrows that open a part of the contents have no name.
  for (const summary of document.querySelectorAll("summary")) {
    if (!summary.textContent.trim()) summary.setAttribute("aria-label", "Show or hide the pages of this part");
  }
  // The lines of a long signature are a list of definitions without a word defined.
  for (const line of document.querySelectorAll("dt > dl, dt > dl > dd")) line.setAttribute("role", "none");
  // On a narrow screen a module's name breaks after a dot or an underscore, not within a word.
  for (const { firstChild: name } of document.querySelectorAll(".bd-article h2")) {
    if (!/^\w+(\.\w+)+$/.test(name?.data)) continue;
    const parts = name.data.split(/(?<=[._])/).flatMap((part) => [document.createElement("wbr"), part]);
    name.replaceWith(...parts.slice(1));
  }
});
