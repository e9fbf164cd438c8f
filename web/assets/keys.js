// Keyboard shortcuts. None works while the viewer types, with a modifier key, behind a dialog, or on an element that
// uses the key itself.

const TYPES = "input:not([type=radio], [type=range]), textarea, select, [contenteditable]";
const ACTS_ON_SPACE = "button, a, input, summary, [role=button]";

/** @param {Record<string, () => void>} actions by lower-case key; a space is " " */
export function shortcuts(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.target.matches?.(TYPES)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const action = actions[event.key.toLowerCase()];
    if (!action || (event.key === " " && event.target.matches?.(ACTS_ON_SPACE))) return;
    event.preventDefault();
    action();
  });
}
