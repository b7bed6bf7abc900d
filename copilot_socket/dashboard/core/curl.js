// @ts-check
/** Requests as commands for a shell. Pure. */

/** A word for a POSIX shell. @param {string} text */
export function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * The request for curl, with the token in a variable, as one should not be copied.
 *
 * @param {string} method
 * @param {string} url
 * @param {unknown} [body]
 */
export function curl(method, url, body) {
  const words = ["curl -sS --fail-with-body"];
  if (method !== "GET") words.push(`-X ${method}`);
  words.push('-H "Authorization: Bearer $COPILOT_HTTP_TOKEN"');
  if (body !== undefined) words.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(body))}`);
  return [...words, quoted(url)].join(" ");
}
