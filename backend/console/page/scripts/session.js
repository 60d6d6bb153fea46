// The token by which this tab asks, kept until it is closed. Another tab, or a later visit, is asked for it again.

const KEY = "pyrover-token";
const PAGE = "/console/login.html";

/** Headers that a request needs besides its own. */
export function authorization() {
  const token = sessionStorage.getItem(KEY);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Send this token from now on. */
export const keepToken = (token) => sessionStorage.setItem(KEY, token);

/** What the address of that page has after the ? when the token of this tab was refused. */
export const REFUSED = "?refused";

let leaving = false; // several questions are under way, and each may be refused

/** Let the visitor give a token, and come back to the same place. Never settles: this page is being left. */
export function askForToken() {
  if (!leaving) {
    leaving = true;
    const had = sessionStorage.getItem(KEY) !== null;
    sessionStorage.removeItem(KEY);
    location.replace(PAGE + (had ? REFUSED : "") + location.hash);
  }
  return new Promise(() => {});
}
