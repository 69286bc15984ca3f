// Knows how an RTSP address is written: which part of it is the login.

const MASK = '***'; // how the server shows a password

/**
 * Takes the login out of `rtsp://user:pass@host/path`: `{url, username, password}`, decoded; null when there is none.
 * A password may hold an @ that nobody encoded, so the last one before the path ends the login.
 */
export function withoutLogin(address) {
  const parts = split(address);
  if (!parts) return null;
  const [user, ...secret] = parts.login.split(':');
  const password = secret.join(':');
  if (password === MASK || (!user && !password)) return null;
  return { url: parts.url, username: decoded(user), password: decoded(password) };
}

/** An address as the server shows it, without the masked login, which the form has fields for. */
export const addressAlone = (address) => split(address)?.url ?? address;

function split(address) {
  const [, scheme, authority, rest] = /^\s*(rtsps?:\/\/)([^/?#\s]*)(.*?)\s*$/i.exec(address) ?? [];
  const end = authority?.lastIndexOf('@') ?? -1;
  return end < 0 ? null : { login: authority.slice(0, end), url: scheme + authority.slice(end + 1) + rest };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that means itself
  }
}
