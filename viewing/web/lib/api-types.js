// This module holds the shapes of the server's HTTP interface; /openapi.json of the server describes them in full.

/**
 * @typedef {object} Reason
 * @property {string} [code]
 * @property {string} [text]
 */

/**
 * @typedef {object} HlsSettings
 * @property {number | null} [segment_seconds]
 * @property {number | null} [window_segments]
 * @property {number | null} [part_ms]
 * @property {boolean | null} [always_on]
 * @property {string[] | null} [renditions]
 */

/**
 * A camera as an item of the list. A relay leaves out the fields of operators.
 * @typedef {object} Camera
 * @property {number} [id] missing while the page knows the slug only
 * @property {string} slug name in addresses; it never changes
 * @property {string} [name]
 * @property {string} [url] a password in it is masked
 * @property {string} state
 * @property {Reason | string | null} [reason]
 * @property {string} [since] RFC 3339
 * @property {string | null} [username]
 * @property {boolean} [has_password]
 * @property {boolean} [always_on]
 * @property {boolean} [exclusive]
 * @property {string} [transport]
 * @property {boolean} [tls_insecure]
 * @property {string} [zone]
 * @property {HlsSettings} [hls]
 */

/**
 * @typedef {object} VideoTrack
 * @property {string | null} [codec]
 * @property {number | null} [width]
 * @property {number | null} [height]
 * @property {number | null} [fps]
 * @property {number | null} [bitrate] bit/s
 */

/**
 * @typedef {object} AudioTrack
 * @property {string | null} [codec]
 * @property {number} [sample_rate] Hz
 * @property {number} [channels]
 */

/**
 * @typedef {object} Status
 * @property {string} [state]
 * @property {string | null} [reason]
 * @property {string} [since]
 * @property {VideoTrack | null} [video]
 * @property {AudioTrack | null} [audio]
 * @property {string | null} [worker]
 * @property {number | null} [epoch]
 * @property {number} [restarts]
 * @property {{ mjpeg?: number, hls?: number }} [viewers]
 * @property {string | null} [hls_error]
 */

/**
 * Result of a probe of a camera that is not saved.
 * @typedef {object} ProbeResult
 * @property {boolean} [ok]
 * @property {string} [state]
 * @property {Reason | null} [reason]
 * @property {VideoTrack | null} [video]
 * @property {AudioTrack | null} [audio]
 * @property {string | null} [worker]
 * @property {number} [took_ms]
 * @property {string | null} [picture] a data: URL
 */

/**
 * One line of an imported list.
 * @typedef {object} ImportRow
 * @property {number} line
 * @property {boolean} ok
 * @property {string | null} [name]
 * @property {string | null} [url]
 * @property {string | null} [slug]
 * @property {{ field?: string | null, text?: string } | null} [error]
 * @property {string | null} [warning]
 */

/**
 * @typedef {object} ImportResult
 * @property {ImportRow[]} rows
 * @property {number} valid
 * @property {number} invalid
 * @property {number} created
 */

/**
 * A change of a camera's state, as it comes with frames.
 * @typedef {object} StateMessage
 * @property {string} [slug]
 * @property {string} [state]
 * @property {Reason | string | null} [reason]
 * @property {string} [since]
 */

export {};
