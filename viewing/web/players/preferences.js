// This module remembers the quality that the viewer chose for each camera.

import { CameraChoices } from '../lib/storage.js';
import { SOURCE, isQuality } from './qualities.js';

const qualities = new CameraChoices('rsm.quality', isQuality);

/** @param {string} slug */
export const qualityFor = (slug) => qualities.get(slug) ?? SOURCE;

/**
 * @param {string} slug
 * @param {string} quality
 */
export const chooseQuality = (slug, quality) => qualities.set(slug, quality);

/**
 * Forgets cameras that no longer exist.
 * @param {{ has(slug: string): boolean }} slugs
 */
export const keepQualities = (slugs) => qualities.keepOnly(slugs);
