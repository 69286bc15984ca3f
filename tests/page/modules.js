// This module reads the modules of the page and their imports.

import { readFile, readdir } from 'node:fs/promises';
import { dirname, join, normalize, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const PAGE = fileURLToPath(new URL('../../viewing/web/', import.meta.url));

/** Returns the paths of all modules of the page, relative to its folder; vendored files are left out. */
export async function moduleNames() {
  const files = await readdir(PAGE, { recursive: true });
  return files.map((file) => file.split(sep).join('/'))
    .filter((file) => file.endsWith('.js') && !file.startsWith('vendor/'))
    .sort();
}

/**
 * Returns each module with the modules that it imports.
 * @returns {Promise<Map<string, string[]>>}
 */
export async function importGraph() {
  const names = await moduleNames();
  const graph = new Map();
  for (const name of names) graph.set(name, importsOf(await readFile(join(PAGE, name), 'utf8'), name));
  return graph;
}

/**
 * Returns the paths that a module imports; imports of types in comments do not count.
 * @param {string} source
 * @param {string} name
 * @returns {string[]}
 */
export function importsOf(source, name) {
  const paths = [...source.matchAll(/^(?:import|export)\s(?:[^;']*?\sfrom\s)?'(\.[^']+)';$/gm)].map((match) => match[1]);
  return paths.map((path) => relative('.', normalize(join(dirname(name), path))).split(sep).join('/'));
}

/**
 * Returns a circle of imports as a list of modules; null when there is none.
 * @param {Map<string, string[]>} graph
 * @returns {string[] | null}
 */
export function findCircle(graph) {
  /** @type {Set<string>} */
  const done = new Set();
  /**
   * @param {string} name
   * @param {string[]} path
   * @returns {string[] | null}
   */
  const visit = (name, path) => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return null;
    for (const next of graph.get(name) ?? []) {
      const circle = visit(next, [...path, name]);
      if (circle) return circle;
    }
    done.add(name);
    return null;
  };
  for (const name of graph.keys()) {
    const circle = visit(name, []);
    if (circle) return circle;
  }
  return null;
}
