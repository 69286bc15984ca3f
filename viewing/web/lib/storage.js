// This module remembers choices of the viewer in localStorage. Without storage a choice lasts as long as the page.

export const MOST_REMEMBERED = 1000; // cameras, as many as the page lists

/**
 * Returns the stored object; an empty one where nothing usable is stored.
 * @param {string} key
 * @returns {Record<string, unknown>}
 */
export function recall(key) {
  try {
    const value = JSON.parse(localStorage.getItem(key) ?? '{}');
    return value && typeof value === 'object' ? value : {};
  } catch {
    return {}; // Storage is switched off, or the value is not of this page.
  }
}

/**
 * @param {string} key
 * @param {unknown} value
 */
export function store(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // The choice lasts as long as the page.
  }
}

/** One choice for each camera. The oldest choices beyond `MOST_REMEMBERED` are forgotten. */
export class CameraChoices {
  #key;
  /** @type {Map<string, string>} */
  #choices;

  /**
   * @param {string} key
   * @param {(value: string) => boolean} valid tells whether a stored value is one of this page
   */
  constructor(key, valid) {
    this.#key = key;
    this.#choices = new Map();
    for (const [slug, value] of Object.entries(recall(key)).slice(-MOST_REMEMBERED)) {
      if (typeof value === 'string' && valid(value)) this.#choices.set(slug, value);
    }
  }

  /** @param {string} slug */
  get(slug) {
    return this.#choices.get(slug);
  }

  /**
   * @param {string} slug
   * @param {string} value
   */
  set(slug, value) {
    this.#choices.delete(slug); // The newest choice stands last.
    this.#choices.set(slug, value);
    for (const oldest of this.#choices.keys()) {
      if (this.#choices.size <= MOST_REMEMBERED) break;
      this.#choices.delete(oldest);
    }
    this.#store();
  }

  /**
   * Forgets cameras that no longer exist.
   * @param {{ has(slug: string): boolean }} slugs
   */
  keepOnly(slugs) {
    const before = this.#choices.size;
    for (const slug of [...this.#choices.keys()]) if (!slugs.has(slug)) this.#choices.delete(slug);
    if (this.#choices.size !== before) this.#store();
  }

  #store() {
    store(this.#key, Object.fromEntries(this.#choices));
  }
}
