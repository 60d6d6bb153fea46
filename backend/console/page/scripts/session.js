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

/** Let the visitor give a token, and come back to the same place. Never settles: this page is being left. */
export function askForToken() {
  sessionStorage.removeItem(KEY);
  location.replace(PAGE + location.hash);
  return new Promise(() => {});
}
