// This module reads the files that spreadsheets save, and holds the template of a list.

export const MOST_BYTES = 1024 * 1024; // The server accepts as much.
export const TEMPLATE_NAME = 'cameras.csv';
export const TEMPLATE = `url,name,username,password,zone,transport,always_on
rtsp://192.168.1.20:554/stream1,Front door,admin,secret,,auto,false
rtsps://192.168.1.21:322/live/main,Yard,,,,tcp,true
`;

/**
 * Decodes a CSV file: UTF-8, or else the code page of western Windows.
 * @param {ArrayBuffer | Uint8Array} bytes
 */
export function decodeCsv(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

/**
 * Returns the words for what the server found in a list, before anything is saved.
 * @param {{ rows: { ok: boolean, warning?: string | null }[], valid: number, invalid: number }} preview
 */
export function previewText({ rows, valid, invalid }) {
  const warnings = rows.filter(({ ok, warning }) => ok && warning).length;
  const lines = invalid === 1 ? 'line' : 'lines';
  return {
    warnings,
    good: `${valid} good`,
    warned: warnings ? `${warnings} with ${noun(warnings, 'a warning')}` : '',
    bad: invalid ? `${invalid} with ${noun(invalid, 'an error')}` : '',
    action: actionText(valid, invalid),
    summary: `${rows.length} ${rows.length === 1 ? 'line' : 'lines'}: ${valid} good. `
      + `${invalid ? `${invalid} ${lines} with errors.` : 'No errors.'}${warnings ? ` ${warnings} with warnings.` : ''}`,
  };
}

/**
 * @param {number} count
 * @param {string} one with its article
 */
const noun = (count, one) => (count === 1 ? one : `${one.split(' ')[1]}s`);

/**
 * @param {number} valid
 * @param {number} invalid
 */
function actionText(valid, invalid) {
  if (valid === 0) return 'Import';
  if (invalid) return `Import the good ${valid === 1 ? 'line' : 'lines'} only (${valid})`;
  return `Import ${valid} ${valid === 1 ? 'camera' : 'cameras'}`;
}
