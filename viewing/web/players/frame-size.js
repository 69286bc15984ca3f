// This module decides which frames a picture on the page requests: as wide as it is in the screen's own pixels, in the
// steps in which the server encodes, and at a lower rate on a full wall.

const STEPS = [160, 320, 480, 640, 960, 1280];
const WIDEST = 1920;
const SLACK = 1.15; // A picture that is stretched by less is not worth another encoder.
const FULL_WALL = 9; // tiles; beyond them a picture is small and one of many
const FULL_WALL_FPS = 5;

/**
 * Returns the width to request where `pixels` are to be filled and `current` is requested now (0: nothing yet). It grows
 * when the picture would look soft, and shrinks when half of it is enough.
 * @param {number} pixels
 * @param {number} [current]
 */
export function widthFor(pixels, current = 0) {
  if (!(pixels > 0)) return current || STEPS[0];
  const fits = STEPS.find((step) => step * SLACK >= pixels) ?? WIDEST;
  if (!current || fits > current) return fits;
  return fits * 2 <= current ? fits : current;
}

/**
 * Returns the frames per second to request on a wall of so many tiles; 0 for the stream's own rate.
 * @param {number} tiles
 */
export const rateFor = (tiles) => (tiles > FULL_WALL ? FULL_WALL_FPS : 0);
