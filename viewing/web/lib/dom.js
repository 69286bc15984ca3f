// This module finds elements and checks their class, so that markup and script which do not fit fail with a clear error.

/**
 * Returns the first element under `root` that matches; throws when there is none or when it has another class.
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
export function find(root, selector, type) {
  const element = root.querySelector(selector);
  if (element instanceof type) return element;
  throw new TypeError(`${selector} is not a ${type.name}`);
}

/**
 * Returns all elements under `root` that match and have this class.
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T[]}
 */
export function findAll(root, selector, type) {
  /** @type {T[]} */
  const found = [];
  for (const element of root.querySelectorAll(selector)) if (element instanceof type) found.push(element);
  return found;
}

/**
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} id value of `data-testid`, which is unique under `root`
 * @param {new () => T} type
 */
export const byTestId = (root, id, type) => find(root, `[data-testid="${id}"]`, type);

/**
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} name value of `data-part`, which is unique under `root`
 * @param {new () => T} type
 */
export const byPart = (root, name, type) => find(root, `[data-part="${name}"]`, type);

/**
 * Returns an element of index.html.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 */
export const byId = (id, type) => find(document, `#${CSS.escape(id)}`, type);

/**
 * Returns the element that an event or a focus change is about; null where it is none, such as `window`.
 * @param {EventTarget | null | undefined} target
 */
export const elementOf = (target) => (target instanceof Element ? target : null);

/**
 * Sets the text of an element only when it differs, so that screen readers and selections are left alone.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Creates an element with a class and a text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {{ className?: string, text?: string }} [options]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function create(tag, { className = '', text = '' } = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/**
 * Returns a copy of the elements that `html` describes; `html` is a constant of this page, never text from a server.
 * @param {string} html
 */
export function markup(html) {
  const template = document.createElement('template');
  template.innerHTML = html;
  return () => document.importNode(template.content, true);
}
