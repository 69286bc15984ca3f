// This script plays streams with hls.js as any page may, without the player of the viewer page: each plays for some seconds
// of media, with audio where there is some, and hls.js reports no error. Then it changes to a lower rendition and back,
// where one is named.
//
//   node playing.mjs --base http://127.0.0.1:8080 --streams 1:h264:aac,2:hevc:none [--lower 1:240]
//
// Exits 0 when all of it worked, else 1 with what was seen last.

import { options, until, withPage } from './chromium.mjs';

const { base, streams, lower } = options(['base', 'streams', 'lower'], ['base', 'streams']);
const PLAY_SECONDS = 4; // seconds of media
const STORY_LINES = 200; // log of hls.js, shown on failure
// hls.js reports these errors on a busy machine and continues: it ran dry, gave up a fragment that came slowly, or waited
// longer for a playlist than its own three parts (the audio's is late when an encoder starts). Where it does not continue,
// the error is fatal, and that counts.
const BUSY = [
  'bufferStalledError', 'bufferNudgeOnStall', 'bufferSeekOverHole',
  'aborted', 'levelLoadTimeOut', 'audioTrackLoadTimeOut', 'fragLoadTimeOut',
];

/** Begins to play; `window.player` holds the progress. */
const begin = (page, place) => page.evaluate((url) => {
  globalThis.player?.hls.destroy();
  document.body.replaceChildren();
  const video = document.body.appendChild(document.createElement('video'));
  video.muted = true;
  const hls = new Hls({ lowLatencyMode: true });
  const player = { hls, video, errors: [], tracks: [], story: [] };
  globalThis.player = player;
  const from = performance.now();
  const note = (event, { level, url, frag, part, details, error, response, reason }) => {
    const of = frag ? `${frag.type} ${frag.level}: ${frag.sn}${part ? `.${part.index}` : ''}` : '';
    const why = error ? `${details} ${response?.code ?? ''} ${reason ?? ''} ${error.message}` : '';
    const text = [event.slice(3), level, of, typeof url === 'string' ? url.split('/').pop() : '', why].filter((word) => word !== undefined && word !== '').join(' ');
    player.story.push(`${((performance.now() - from) / 1000).toFixed(2)} [${video.currentTime.toFixed(2)}] ${text}`);
  };
  const told = ['LEVEL_SWITCHING', 'LEVEL_SWITCHED', 'LEVEL_LOADING', 'LEVEL_LOADED', 'FRAG_LOADING', 'FRAG_CHANGED', 'BUFFER_FLUSHING', 'BUFFER_APPENDED', 'ERROR'];
  for (const name of told) hls.on(Hls.Events[name], note);
  hls.on(Hls.Events.ERROR, (_, error) => {
    player.errors.push({ details: error.details, fatal: error.fatal, status: error.response?.code ?? null, why: `${error.error?.message ?? ''}` });
  });
  hls.on(Hls.Events.BUFFER_CREATED, (_, { tracks }) => { player.tracks = Object.keys(tracks); });
  hls.on(Hls.Events.MANIFEST_PARSED, () => {
    // The best rendition is played: the estimate of the bandwidth is low on a busy machine.
    const { levels } = hls;
    if (levels.some(({ height }) => height < levels.at(-1).height)) hls.loadLevel = levels.length - 1;
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  video.play().catch(() => {});
}, place);

const look = (page) => page.evaluate((busy) => {
  const { hls, video, errors, tracks } = globalThis.player;
  return {
    time: video.currentTime,
    width: video.videoWidth,
    height: video.videoHeight,
    audioBytes: video.webkitAudioDecodedByteCount ?? 0,
    pictures: video.getVideoPlaybackQuality().totalVideoFrames,
    tracks,
    level: hls.levels[hls.currentLevel]?.url[0]?.split('/').pop().split('?')[0] ?? null,
    lowLatency: Boolean(hls.latestLevelDetails?.partList?.length),
    errors: errors.filter(({ details, fatal }) => fatal || !busy.includes(details)),
  };
}, BUSY);

const story = async (page) => (await page.evaluate(() => globalThis.player?.story ?? [])).slice(-STORY_LINES).join('\n  ');

async function advances(page, what, fits = () => true) {
  const first = await until(`${what} begins`, async () => {
    const now = await look(page);
    if (now.errors.some(({ fatal }) => fatal)) return { ok: false, ...now };
    return { ok: now.time > 0 && now.pictures > 0 && fits(now), ...now };
  });
  const last = await until(`${what} goes on`, async () => {
    const now = await look(page);
    return { ok: now.time > first.time + PLAY_SECONDS && now.pictures > first.pictures, ...now };
  });
  if (last.errors.length) throw new Error(`${what}: hls.js complained: ${JSON.stringify(last.errors)}`);
  return { first, last };
}

// A player takes the tracks that it finds in the beginning, and on a busy machine audio comes after the first pictures.
const untilHeard = (page, id) => until(`stream ${id} has audio`, () => page.evaluate(async (place) => {
  const said = await (await fetch(place)).text();
  return { ok: said.includes('TYPE=AUDIO'), said };
}, `/video/play/${id}/`));

async function plays(page, [id, codec, audio], playsHevc) {
  if (audio !== 'none') await untilHeard(page, id);
  await begin(page, `/video/play/${id}/`);
  const what = `stream ${id} (${codec}, ${audio})`;
  const { first, last } = await advances(page, what);
  if (!last.lowLatency) throw new Error(`${what}: no parts are listed: ${JSON.stringify(last)}`);
  const wanted = codec === 'hevc' && !playsHevc ? 'h264.m3u8' : 'source.m3u8';
  if (last.level !== wanted) throw new Error(`${what}: plays ${last.level}, not ${wanted}`);
  const heard = last.audioBytes > first.audioBytes;
  if (heard !== (audio !== 'none') || last.tracks.includes('audio') !== heard) throw new Error(`${what}: audio: ${JSON.stringify(last)}`);
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
    try {
      for (const stream of streams.split(',')) await plays(page, stream.split(':'), playsHevc);
      if (lower) await changes(page, lower.split(':')[0], Number(lower.split(':')[1]));
    } catch (error) {
      error.message += `\n  what hls.js did:\n  ${await story(page)}`;
      throw error;
    }
  });
  console.log('ok');
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
