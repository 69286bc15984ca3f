// Knows where the controls of a small tile appear: beside their button, within the window; on a phone at the bottom,
// where the thumb is (that is the style sheet's matter).

const DISTANCE = 6;
const PHONE = matchMedia('(max-width: 639px)');

/** Opens or closes `menu`, a popover, beside `button`. */
export function openBeside(menu, button) {
  if (menu.matches(':popover-open')) return menu.hidePopover();
  menu.style.removeProperty('left');
  menu.style.removeProperty('top');
  menu.showPopover();
  if (!PHONE.matches) place(menu, button.getBoundingClientRect());
  menu.querySelector('input:checked, button, a')?.focus();
}

function place(menu, beside) {
  const { width, height } = menu.getBoundingClientRect();
  const below = beside.bottom + DISTANCE;
  const top = below + height > innerHeight ? beside.top - height - DISTANCE : below;
  menu.style.left = `${clamp(beside.right - width, innerWidth - width)}px`;
  menu.style.top = `${clamp(top, innerHeight - height)}px`;
}

const clamp = (at, most) => Math.max(DISTANCE, Math.min(at, most - DISTANCE));
