// This script reads a stream's HLS as a strict player does, by an independent parser, and checks the rules of RFC 8216bis
// and of Apple's authoring specification for a live playlist.
//
//   node hls-rules.mjs --base http://127.0.0.1:8080 --id 3 --fps 25 --gop 1 --playlists source,audio [--segments 5]
//
// Follows each playlist by blocking reloads until so many segments have come, then compares the playlists with each
// other and with the media. Exits 0 when every rule holds, else 1 with those that were broken; 75 when some were broken
// and the camera itself was not on time: groups of pictures that do not last `--gop` seconds are set anew by a test camera
// whose machine is too busy, which proves nothing about the server; or when this script requested a file so long after it
// was listed that it may be gone.

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import HLS from 'hls-parser';
import { options } from './chromium.mjs';

const arguments_ = options(
  ['base', 'id', 'fps', 'gop', 'playlists', 'segments'],
  ['base', 'id', 'fps', 'gop', 'playlists'],
);
const { base, id, segments = '5' } = arguments_;
const fps = Number(arguments_.fps);
const gop = Number(arguments_.gop);
const names = arguments_.playlists.split(',');
const KEPT_SEGMENTS = 6; // lengths of a segment for which files that were listed can be had
const MOST_RELOADS = 400; // bounds a stream whose segments do not come
const PATIENCE_SECONDS = 30; // deadline of one request
const TICK = 0.00002; // durations are written with five digits
const WALL_CLOCK_SECONDS = 30; // tolerance of EXT-X-PROGRAM-DATE-TIME on one machine

const root = new URL(`/video/play/${id}/`, base);
const broken = new Set();
const camera = { onTime: true };
const rule = (holds, what) => { if (!holds) broken.add(what); };
const run = promisify(execFile);

const get = (place) => fetch(new URL(place, root), { signal: AbortSignal.timeout(PATIENCE_SECONDS * 1000) });

async function text(place) {
  for (let tries = 0; ; tries += 1) {
    const answer = await get(place);
    if (answer.ok) return answer.text();
    if (answer.status !== 503 || tries > 5) throw new Error(`${place}: status ${answer.status}`);
  }
}

/** Fetches a file that `seen`, a playlist as it was read, lists. */
async function bytes(place, seen) {
  const answer = await get(place);
  if (!answer.ok && Date.now() - seen.at > KEPT_SEGMENTS * gop * 1000) camera.onTime = false; // This script was late itself.
  if (!answer.ok) throw new Error(`${place}: status ${answer.status}`);
  return Buffer.from(await answer.arrayBuffer());
}

// Two rules of the parser are stricter than RFC 8216bis: it counts segments where section 4.4.4.9 has durations, and
// lacks section 4.4.3.7's exception for independent parts. `look` checks both itself.
const STRICTER = /EXT-X-PART tags .* three target durations|at least 85% of PART-TARGET/;

function parse(said) {
  HLS.setOptions({ strictMode: true, silent: true });
  try {
    return HLS.parse(said);
  } catch (error) {
    if (!STRICTER.test(error.message)) throw error;
    HLS.setOptions({ strictMode: false, silent: true });
    return HLS.parse(said);
  }
}

/** A media playlist: whole segments, and the one that is still open with its parts and the hint. */
function read(name, said) {
  try {
    const playlist = parse(said);
    const whole = playlist.segments.filter((segment) => segment.uri);
    const open = playlist.segments.find((segment) => !segment.uri);
    const parts = (open?.parts ?? []).filter((part) => !part.hint);
    const hint = playlist.segments.flatMap((segment) => segment.parts).find((part) => part.hint);
    return { at: Date.now(), said, playlist, whole, open, parts, hint, low: playlist.lowLatencyCompatibility ?? {} };
  } catch (error) {
    throw new Error(`${name}: ${error.message}\n${said}`, { cause: error });
  }
}

/** Renditions that have listed media: a playlist that was asked for later reports on them. */
const begun = new Set();

/** Checks a playlist by itself; `known` are the renditions that had begun before it was asked for. */
function look(name, known, { playlist, whole, parts, hint, low, said }) {
  if (whole.length || parts.length) begun.add(name);
  const target = playlist.targetDuration;
  const partTarget = playlist.partTargetDuration;
  const holds = (fits, what) => rule(fits, `${name}: ${what}\n${said}`);
  holds(partTarget > 0 && low.canBlockReload, 'parts and blocking reload are offered');
  holds(low.partHoldBack >= 3 * partTarget - TICK, 'PART-HOLD-BACK is three part targets at least');
  holds(low.holdBack >= 3 * target, 'HOLD-BACK is three target durations at least');
  holds(low.canSkipUntil === undefined || low.canSkipUntil >= 6 * target, 'CAN-SKIP-UNTIL is six target durations at least');
  holds(hint, 'the next part is hinted');
  for (const segment of whole) {
    holds(Math.round(segment.duration) <= target, `EXTINF ${segment.duration} fits the target duration`);
    if (name === 'source' && Math.abs(segment.duration - gop) > 0.001) camera.onTime = false;
    holds(segment.map?.uri, 'a segment has its EXT-X-MAP');
    holds(segment.programDateTime, 'a segment has its EXT-X-PROGRAM-DATE-TIME');
    const listed = segment.parts.filter((part) => !part.hint);
    if (!listed.length) continue;
    const sum = listed.reduce((all, part) => all + part.duration, 0);
    holds(Math.abs(sum - segment.duration) <= TICK * listed.length, `parts of ${sum} s make a segment of ${segment.duration} s`);
    listed.forEach((part, at) => {
      const last = at === listed.length - 1;
      holds(part.duration <= partTarget + TICK, `a part of ${part.duration} s is no longer than PART-TARGET`);
      holds(last || part.independent || part.duration >= 0.85 * partTarget, `a part of ${part.duration} s is 85 % of PART-TARGET at least`);
    });
    holds(listed[0].independent, 'the first part of a segment is independent');
  }
  const after = (at) => whole.slice(at).reduce((all, segment) => all + segment.duration, parts.reduce((all, part) => all + part.duration, 0));
  whole.forEach((segment, at) => {
    const listed = segment.parts.some((part) => !part.hint);
    // A whole segment is taken away at once, so the parts of its beginning may be a segment older.
    holds(!listed || after(at) - segment.duration <= 3 * target, `parts ${after(at)} s before the end are listed`);
  });
  if (parts.length) holds(parts[0].independent, 'the first part of the open segment is independent');
  for (let at = 1; at < whole.length; at += 1) {
    const [before, now] = [whole[at - 1], whole[at]];
    if (now.discontinuity) continue;
    const step = (now.programDateTime - before.programDateTime) / 1000;
    // Audio is placed by its own clock beside that of the video, and is corrected by less than one of its frames.
    const slack = name === 'audio' ? 0.065 : 0.002;
    holds(Math.abs(step - before.duration) <= slack, `EXT-X-PROGRAM-DATE-TIME goes on by ${step} s after ${before.duration} s`);
  }
  const newest = whole.at(-1);
  if (newest) {
    const age = Date.now() / 1000 - newest.programDateTime / 1000;
    holds(Math.abs(age) < WALL_CLOCK_SECONDS, `EXT-X-PROGRAM-DATE-TIME is ${age} s from the wall clock`);
  }
  const others = names.filter((other) => other !== name && known.has(other));
  const reported = (playlist.renditionReports ?? []).map(({ uri }) => uri.split('?')[0]);
  for (const other of others) holds(reported.includes(`${other}.m3u8`), `EXT-X-RENDITION-REPORT tells of ${other}`);
}

/** Checks two readings of a playlist, one after the other. */
function compare(name, before, after) {
  const holds = (fits, what) => rule(fits, `${name}: ${what}\n${before.said}\n${after.said}`);
  const [old, now] = [before.playlist, after.playlist];
  holds(now.mediaSequenceBase >= old.mediaSequenceBase, 'EXT-X-MEDIA-SEQUENCE never goes back');
  holds((now.discontinuitySequenceBase ?? 0) >= (old.discontinuitySequenceBase ?? 0), 'EXT-X-DISCONTINUITY-SEQUENCE never goes back');
  holds(now.targetDuration === old.targetDuration, 'EXT-X-TARGETDURATION never changes');
  holds(now.partTargetDuration === old.partTargetDuration, 'PART-TARGET never changes');
  const known = new Map(before.whole.map((segment) => [segment.mediaSequenceNumber, segment]));
  for (const segment of after.whole) {
    const same = known.get(segment.mediaSequenceNumber);
    if (same) holds(same.uri === segment.uri && same.duration === segment.duration && +same.programDateTime === +segment.programDateTime, 'a segment stays what it was');
  }
  const end = (look_) => (look_.whole.at(-1)?.mediaSequenceNumber ?? -1);
  holds(end(after) >= end(before), 'the newest segment stays listed');
}

/** Returns the next reload: the number of the open segment and of the part that follows. */
const next = ({ whole, parts, open }) => [open?.mediaSequenceNumber ?? whole.at(-1).mediaSequenceNumber + 1, parts.length];

/** Follows one playlist, and returns all readings of it and the bytes of its parts. */
async function follow(name) {
  let known = new Set(begun);
  const looks = [read(name, await text(`${name}.m3u8`))];
  look(name, known, looks[0]);
  const parts = new Map();
  const begin = looks[0].whole.at(-1)?.mediaSequenceNumber ?? looks[0].playlist.mediaSequenceBase;
  for (let reloads = 0; looks.at(-1).playlist.mediaSequenceBase + looks.at(-1).whole.length <= begin + Number(segments) + 1; reloads += 1) {
    if (reloads > MOST_RELOADS) throw new Error(`${name}: no ${segments} segments in ${MOST_RELOADS} reloads`);
    const before = looks.at(-1);
    const [msn, part] = next(before);
    const hinted = before.hint && get(before.hint.uri); // The request begins before the part exists.
    known = new Set(begun);
    const after = read(name, await text(`${name}.m3u8?_HLS_msn=${msn}&_HLS_part=${part}`));
    const [nowMsn, nowPart] = next(after);
    rule(nowMsn > msn || (nowMsn === msn && nowPart > part), `${name}: a blocking reload is answered with part ${part} of ${msn}\n${after.said}`);
    look(name, known, after);
    compare(name, before, after);
    if (hinted) {
      const answer = await hinted;
      const listed = after.playlist.segments.flatMap((segment) => segment.parts).some((one) => !one.hint && one.uri === before.hint.uri);
      // A segment may end where another part was foreseen: then the hint was wrong and its request says so.
      rule(listed === answer.ok || nowMsn > msn, `${name}: the hinted part ${before.hint.uri} is answered ${answer.status}, listed: ${listed}`);
      if (answer.ok) parts.set(before.hint.uri, Buffer.from(await answer.arrayBuffer()));
    }
    looks.push(after);
  }
  const far = next(looks.at(-1))[0] + 50;
  const refused = await get(`${name}.m3u8?_HLS_msn=${far}`);
  rule(refused.status === 400, `${name}: a segment far ahead is answered ${refused.status}`);
  const alone = await get(`${name}.m3u8?_HLS_part=1`);
  rule(alone.status === 400, `${name}: _HLS_part without _HLS_msn is answered ${alone.status}`);
  rule(names.every((other) => known.has(other)), `${name}: every rendition has begun by its last reading`);
  await joined(name, looks.at(-1), parts);
  return looks.at(-1);
}

/** The parts of a segment, one after the other, are the segment. */
async function joined(name, last, fetched) {
  const segment = last.whole.findLast((one) => one.parts.length);
  if (!segment) return rule(false, `${name}: no segment lists its parts\n${last.said}`);
  const pieces = [];
  for (const { uri } of segment.parts) pieces.push(fetched.get(uri) ?? (await bytes(uri, last)));
  rule(Buffer.concat(pieces).equals(await bytes(segment.uri, last)), `${name}: the parts of ${segment.uri} are its bytes`);
  const fetchedOne = [...fetched].find(([uri]) => segment.parts.some((part) => part.uri === uri));
  if (fetchedOne) rule(fetchedOne[1].equals(await bytes(fetchedOne[0], last)), `${name}: ${fetchedOne[0]} is the same as hinted and as listed`);
}

/** An update without the oldest segments is the whole playlist without them. */
async function skipped(name) {
  const now = read(name, await text(`${name}.m3u8`));
  const [msn, part] = next(now);
  const query = `_HLS_msn=${msn}&_HLS_part=${part}`;
  const [whole, delta] = await Promise.all([text(`${name}.m3u8?${query}`), text(`${name}.m3u8?${query}&_HLS_skip=YES`)]);
  const [full, update] = [read(name, whole), read(name, delta)];
  if (!full.low.canSkipUntil) return rule(!update.playlist.skip, `${name}: nothing is skipped without CAN-SKIP-UNTIL`);
  rule(update.playlist.skip > 0 || full.whole.length * full.playlist.targetDuration <= full.low.canSkipUntil + full.playlist.targetDuration, `${name}: an update skips\n${delta}`);
  const list = (one) => one.whole.map(({ uri, mediaSequenceNumber, duration }) => `${mediaSequenceNumber} ${uri} ${duration}`);
  const [all, rest] = [list(full), list(update)];
  const overlap = all.filter((line) => Number(line.split(' ')[0]) >= update.whole[0].mediaSequenceNumber);
  // The two were answered one after the other: the later may know one segment more.
  const common = Math.min(overlap.length, rest.length);
  rule(common > 0 && overlap.slice(0, common).join() === rest.slice(0, common).join(), `${name}: an update is the same playlist\n${whole}\n${delta}`);
}

/** Returns ffprobe's findings in the newest segments of a playlist, each behind its EXT-X-MAP. */
async function probe(dir, name, last) {
  const found = [];
  for (const segment of last.whole.slice(-3)) {
    const file = join(dir, `${name}-${segment.mediaSequenceNumber}.mp4`);
    const media = await bytes(segment.uri, last);
    await writeFile(file, Buffer.concat([await bytes(segment.map.uri, last), media]));
    const { stdout, stderr } = await run('ffprobe', ['-v', 'warning', '-show_streams', '-show_packets', '-of', 'json', file]);
    rule(stderr === '', `${name}: ffprobe says of ${segment.uri}: ${stderr}`);
    const { streams, packets } = JSON.parse(stdout);
    found.push({ segment, stream: streams[0], packets, bits: media.length * 8 });
  }
  return found;
}

const AAC_SAMPLES = 1024; // samples of one frame
const AVC_PROFILES = { 'Constrained Baseline': 0x42, Baseline: 0x42, Main: 0x4d, High: 0x64 };

/** The multivariant playlist is true of the media. */
async function trueOf(master, probed) {
  const audio = probed.audio ?? [];
  const rate = ({ bits, segment }) => bits / segment.duration;
  const audioPeak = Math.max(0, ...audio.map(rate));
  for (const variant of master.variants) {
    const name = variant.uri.split('.')[0];
    const pictures = probed[name];
    if (!pictures) continue;
    const holds = (fits, what) => rule(fits, `${name}: ${what}; ${JSON.stringify({ ...variant, audio: undefined })}`);
    const { stream } = pictures[0];
    const [codec, more] = variant.codecs.split(',');
    holds(variant.resolution?.width === stream.width && variant.resolution?.height === stream.height, `RESOLUTION is ${stream.width}x${stream.height}`);
    if (stream.codec_name === 'h264') {
      const wanted = `avc1.${(AVC_PROFILES[stream.profile] ?? 0).toString(16).padStart(2, '0')}`;
      holds(codec.startsWith(wanted) && parseInt(codec.slice(-2), 16) === stream.level, `CODECS is ${wanted}..${stream.level.toString(16)}`);
    } else {
      holds(stream.codec_name === 'hevc' && stream.codec_tag_string === 'hvc1' && codec.startsWith('hvc1.1.') && codec.includes(`.L${stream.level}`), `CODECS is ${stream.codec_name} level ${stream.level}`);
    }
    holds(Boolean(more) === audio.length > 0 && (!more || more === 'mp4a.40.2'), 'CODECS names the audio');
    holds(Math.abs(variant.frameRate - fps) < 0.1, `FRAME-RATE is ${fps}`);
    const peak = Math.max(...pictures.map(rate)) + audioPeak;
    holds(variant.bandwidth >= 0.9 * peak, `BANDWIDTH is ${Math.round(peak)} at least`);
    const mean = [...pictures, ...audio].reduce((all, one) => all + one.bits, 0) / pictures.reduce((all, one) => all + one.segment.duration, 0);
    holds(variant.averageBandwidth <= variant.bandwidth && variant.averageBandwidth > mean / 2 && variant.averageBandwidth < mean * 2, `AVERAGE-BANDWIDTH is about ${Math.round(mean)}`);
    for (const { segment, packets } of pictures) {
      holds(packets[0].flags.startsWith('K'), `${segment.uri} begins with a key frame`);
      const length = packets.length / fps;
      holds(Math.abs(length - segment.duration) < 0.5 / fps, `${segment.uri} lasts ${length} s, not ${segment.duration}`);
    }
  }
  for (const { stream, segment, packets } of audio) {
    rule(stream.codec_name === 'aac', `audio: ${stream.codec_name} in ${segment.uri}`);
    const length = (packets.length * AAC_SAMPLES) / Number(stream.sample_rate);
    rule(Math.abs(length - segment.duration) < 0.001, `audio: ${segment.uri} lasts ${length} s, not ${segment.duration}`);
  }
}

/** Renditions of the pictures have the same segments as the source. */
function aligned(followed) {
  const numbers = new Map(followed.source.whole.map((segment) => [segment.mediaSequenceNumber, segment]));
  for (const [name, last] of Object.entries(followed)) {
    const both = last.whole.filter((segment) => numbers.has(segment.mediaSequenceNumber));
    rule(both.length > 0, `${name}: no segment has the number of one of the source`);
    for (const segment of both) {
      const other = numbers.get(segment.mediaSequenceNumber);
      const apart = Math.abs(other.programDateTime - segment.programDateTime) / 1000;
      const longer = Math.abs(other.duration - segment.duration);
      const slack = name === 'audio' ? 0.3 : 0.002;
      rule(apart <= slack && longer <= slack, `${name}: segment ${segment.mediaSequenceNumber} is ${apart} s from the source's and ${longer} s longer or shorter`);
      rule(other.discontinuitySequence === segment.discontinuitySequence, `${name}: segment ${segment.mediaSequenceNumber} has another discontinuity sequence`);
    }
    rule(last.playlist.targetDuration === followed.source.playlist.targetDuration, `${name}: another EXT-X-TARGETDURATION than the source`);
  }
}

const dir = await mkdtemp(join(tmpdir(), 'rsm-rules-'));
try {
  // Every playlist is asked for before any is followed, so that all renditions are made when they are compared.
  await Promise.all(names.map((name) => text(`${name}.m3u8`)));
  const followed = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await follow(name)])));
  aligned(followed);
  await Promise.all(names.map(skipped));
  const probed = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await probe(dir, name, followed[name])])));
  const said = await text('');
  const master = parse(said);
  rule(master.isMasterPlaylist && master.independentSegments, `the multivariant playlist is one\n${said}`);
  await trueOf(master, probed);
  if (broken.size) throw new Error(`${broken.size} broken:\n- ${[...broken].slice(0, 8).join('\n- ')}`);
  console.log('ok');
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = camera.onTime ? 1 : 75;
} finally {
  await rm(dir, { recursive: true, force: true });
}
process.exit();
