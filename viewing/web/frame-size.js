// Knows which frames a picture on the page asks for: as wide as it is in the screen's own pixels, by the steps in which
// the server encodes, and not faster than anybody sees on a full wall.

const STEPS = [160, 320, 480, 640, 960, 1280, 1920];
const SLACK = 1.15; // a picture stretched by less is not worth a new encoder
const FULL_WALL = 9; // tiles; beyond them a picture is small and one of many
const FULL_WALL_FPS = 5;

/**
 * The width to ask for where `pixels` are to be filled and `current` is asked for now (0: nothing yet). It grows when the
 * picture would look soft, and shrinks when half of it would do.
 */
export function widthFor(pixels, current = 0) {
  if (!(pixels > 0)) return current || STEPS[0];
  const fits = STEPS.find((step) => step * SLACK >= pixels) ?? STEPS.at(-1);
  if (!current || fits > current) return fits;
  return fits * 2 <= current ? fits : current;
}

/** Frames a second to ask for on a wall of so many tiles; 0 for the stream's own. */
export const rateFor = (tiles) => (tiles > FULL_WALL ? FULL_WALL_FPS : 0);
