// What the theme and Sphinx leave for a screen reader to guess.
document.addEventListener("DOMContentLoaded", () => {
  // Arrows that open a part of the contents have no name.
  for (const summary of document.querySelectorAll("summary")) {
    if (!summary.textContent.trim()) summary.setAttribute("aria-label", "Show or hide the pages of this part");
  }
  // The lines of a long signature are a list of definitions without a word defined.
  for (const line of document.querySelectorAll("dt > dl, dt > dl > dd")) line.setAttribute("role", "none");
});
