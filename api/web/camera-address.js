// Knows how an RTSP address is written: which part of it is the login.

const MASK = '***'; // how the server shows a password

/**
 * Takes the login out of `rtsp://user:pass@host/path`: `{url, username, password}`, decoded; null when there is none.
 * A password may hold an @ that nobody encoded, so the last one before the path ends the login.
 */
export function withoutLogin(address) {
  const [, scheme, authority, rest] = /^\s*(rtsps?:\/\/)([^/?#\s]*)(.*?)\s*$/i.exec(address) ?? [];
  const end = authority?.lastIndexOf('@') ?? -1;
  if (end < 0) return null;
  const [user, ...secret] = authority.slice(0, end).split(':');
  const password = secret.join(':');
  if (password === MASK || (!user && !password)) return null;
  return { url: scheme + authority.slice(end + 1) + rest, username: decoded(user), password: decoded(password) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that means itself
  }
}
