// This module takes apart an RTSP address: which part of it is the login.

const MASK = '***'; // The server shows a password so.

/**
 * Takes the login, decoded, out of `rtsp://user:pass@host/path`; null when there is none. A password may hold an @ that
 * is not encoded, so the last one before the path ends the login.
 * @param {string} address
 * @returns {{ url: string, username: string, password: string } | null}
 */
export function withoutLogin(address) {
  const parts = split(address);
  if (!parts) return null;
  const [user, ...secret] = parts.login.split(':');
  const password = secret.join(':');
  if (password === MASK || (!user && !password)) return null;
  return { url: parts.url, username: decode(user), password: decode(password) };
}

/**
 * Returns an address as the server shows it, without the masked login, which has its own fields in the form.
 * @param {string} address
 */
export const addressAlone = (address) => split(address)?.url ?? address;

/** @param {string} address */
function split(address) {
  const match = /^\s*(rtsps?:\/\/)([^/?#\s]*)(.*?)\s*$/i.exec(address);
  if (!match) return null;
  const [, scheme, authority, rest] = match;
  const end = authority.lastIndexOf('@');
  return end < 0 ? null : { login: authority.slice(0, end), url: scheme + authority.slice(end + 1) + rest };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A percent sign stands for itself.
  }
}
