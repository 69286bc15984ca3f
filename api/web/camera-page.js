// Knows the page of one camera.

/** Shows the camera in `container` until it is closed. */
export function openCamera(slug, container, live) {
  const heading = document.createElement('h2');
  heading.textContent = live.cameras.get(slug)?.name || slug;
  container.replaceChildren(heading);
  return { close: () => container.replaceChildren() };
}
