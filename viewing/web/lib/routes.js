// This module maps screens of the page to the fragment of its address: `#/`, `#/camera/SLUG` and `#/kiosk`.

/**
 * Returns the link to a camera's own page.
 * @param {string} slug
 */
export const cameraRoute = (slug) => `#/camera/${encodeURIComponent(slug)}`;

export const WALL_ROUTE = '#/';
export const KIOSK_ROUTE = '#/kiosk';

/**
 * Returns the screen that a fragment names; `slug` is empty except on a camera's page.
 * @param {string} hash
 * @returns {{ kiosk: boolean, slug: string }}
 */
export function parseRoute(hash) {
  const [, screen = '', rest = ''] = hash.split('/');
  return { kiosk: screen === 'kiosk', slug: screen === 'camera' ? decode(rest) : '' };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A percent sign stands for itself.
  }
}
