// This module knows where the server's own paths begin. A proxy may show the server below a path of its host, and does not
// have to tell it, so the path is read off the address of this file.

/** The path in front of the server's own paths: empty, or without a slash at its end. */
export const ROOT = rootOf(import.meta.url);

/**
 * Returns the path in front of `/assets/` in the address of a module.
 * @param {string} module
 */
export function rootOf(module) {
  return /^(.*)\/assets\/lib\/root\.js$/.exec(new URL(module).pathname)?.[1] ?? '';
}

/**
 * Returns where a path that the server named is found: a server that does not know of its proxy's path names it without.
 * @param {string} path
 * @param {string} [root]
 */
export const belowRoot = (path, root = ROOT) => (path.startsWith(`${root}/`) ? path : root + path);
