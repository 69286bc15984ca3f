// Plays streams with hls.js as anybody's page may, without our own player around it: each goes on for some seconds of
// media with sound where there is some, and hls.js has nothing to complain of. Then changes to a lower rendition and
// back, where one is named.
//
//   node playing.mjs --base http://127.0.0.1:8080 --streams 1:h264:aac,2:hevc:none [--lower 1:240]
//
// Exits 0 when all of it worked, else 1 with what was seen last.

import { options, until, withPage } from './chromium.mjs';

const { base, streams, lower } = options(['base', 'streams', 'lower'], ['base', 'streams']);
const PLAY_SECONDS = 4; // of media
const DEADLINE_SECONDS = 60;
// A player that ran dry on a busy machine says so and goes on; whether it does is what is watched.
const RAN_DRY = ['bufferStalledError', 'bufferNudgeOnStall', 'bufferSeekOverHole'];

/** Begins to play; what came of it lies in `window.player`. */
const begin = (page, place) => page.evaluate((url) => {
  globalThis.player?.hls.destroy();
  document.body.replaceChildren();
  const video = document.body.appendChild(document.createElement('video'));
  video.muted = true;
  const hls = new Hls({ lowLatencyMode: true });
  const player = { hls, video, errors: [], tracks: [] };
  globalThis.player = player;
  hls.on(Hls.Events.ERROR, (_, error) => {
    player.errors.push({ details: error.details, fatal: error.fatal, status: error.response?.code ?? null, why: `${error.error?.message ?? ''}` });
  });
  hls.on(Hls.Events.BUFFER_CREATED, (_, { tracks }) => { player.tracks = Object.keys(tracks); });
  hls.loadSource(url);
  hls.attachMedia(video);
  video.play().catch(() => {});
}, place);

const look = (page) => page.evaluate((ranDry) => {
  const { hls, video, errors, tracks } = globalThis.player;
  return {
    time: video.currentTime,
    width: video.videoWidth,
    height: video.videoHeight,
    soundBytes: video.webkitAudioDecodedByteCount ?? 0,
    pictures: video.getVideoPlaybackQuality().totalVideoFrames,
    tracks,
    level: hls.levels[hls.currentLevel]?.url[0]?.split('/').pop().split('?')[0] ?? null,
    lowLatency: Boolean(hls.latestLevelDetails?.partList?.length),
    errors: errors.filter(({ details }) => !ranDry.includes(details)),
  };
}, RAN_DRY);

async function advances(page, what, fits = () => true) {
  const first = await until(`${what} begins`, DEADLINE_SECONDS, async () => {
    const now = await look(page);
    if (now.errors.some(({ fatal }) => fatal)) return { ok: false, ...now };
    return { ok: now.time > 0 && now.pictures > 0 && fits(now), ...now };
  });
  const last = await until(`${what} goes on`, DEADLINE_SECONDS, async () => {
    const now = await look(page);
    return { ok: now.time > first.time + PLAY_SECONDS && now.pictures > first.pictures, ...now };
  });
  if (last.errors.length) throw new Error(`${what}: hls.js complained: ${JSON.stringify(last.errors)}`);
  return { first, last };
}

async function plays(page, [id, codec, sound], playsHevc) {
  await begin(page, `/video/play/${id}/`);
  const what = `stream ${id} (${codec}, ${sound})`;
  const { first, last } = await advances(page, what);
  if (!last.lowLatency) throw new Error(`${what}: no parts are listed: ${JSON.stringify(last)}`);
  const wanted = codec === 'hevc' && !playsHevc ? 'h264.m3u8' : 'source.m3u8';
  if (last.level !== wanted) throw new Error(`${what}: plays ${last.level}, not ${wanted}`);
  const heard = last.soundBytes > first.soundBytes;
  if (heard !== (sound !== 'none') || last.tracks.includes('audio') !== heard) throw new Error(`${what}: sound: ${JSON.stringify(last)}`);
}

async function changes(page, id, height) {
  await begin(page, `/video/play/${id}/`);
  const { last } = await advances(page, `stream ${id} before a change`);
  const choose = (name) => page.evaluate((wanted) => {
    const { hls } = globalThis.player;
    hls.nextLevel = hls.levels.findIndex((level) => level.url[0].includes(`${wanted}.m3u8`));
    return hls.levels.map((level) => level.url[0]);
  }, name);
  await choose(`${height}p`);
  await advances(page, `stream ${id} as ${height}p`, (now) => now.height === height);
  await choose('source');
  await advances(page, `stream ${id} as the source again`, (now) => now.height === last.height);
}

try {
  await withPage({ base }, async (page) => {
    await page.goto(new URL('/health/live', base).href);
    await page.addScriptTag({ url: '/assets/hls.min.js' });
    const playsHevc = await page.evaluate(() => MediaSource.isTypeSupported('video/mp4; codecs="hvc1.1.6.L60.90"'));
    for (const stream of streams.split(',')) await plays(page, stream.split(':'), playsHevc);
    if (lower) await changes(page, lower.split(':')[0], Number(lower.split(':')[1]));
  });
  console.log('ok');
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
