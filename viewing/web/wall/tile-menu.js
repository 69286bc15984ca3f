// This module places the controls of a small tile: beside their button, within the window. On a phone the style sheet
// places them at the bottom, near the thumb.

const DISTANCE = 6; // pixels, from the button and from the window's edge
const PHONE = matchMedia('(max-width: 639px)');

/**
 * Opens or closes `menu`, a popover, beside `button`.
 * @param {HTMLElement} menu
 * @param {HTMLElement} button
 */
export function toggleBeside(menu, button) {
  if (menu.matches(':popover-open')) {
    menu.hidePopover();
    return;
  }
  menu.style.removeProperty('left');
  menu.style.removeProperty('top');
  menu.showPopover();
  if (!PHONE.matches) place(menu, button.getBoundingClientRect());
  const first = menu.querySelector('input:checked, button, a');
  if (first instanceof HTMLElement) first.focus();
}

/**
 * @param {HTMLElement} menu
 * @param {DOMRect} button
 */
function place(menu, button) {
  const { width, height } = menu.getBoundingClientRect();
  const below = button.bottom + DISTANCE;
  const top = below + height > innerHeight ? button.top - height - DISTANCE : below;
  menu.style.left = `${clamp(button.right - width, innerWidth - width)}px`;
  menu.style.top = `${clamp(top, innerHeight - height)}px`;
}

/**
 * @param {number} at
 * @param {number} most
 */
const clamp = (at, most) => Math.max(DISTANCE, Math.min(at, most - DISTANCE));
