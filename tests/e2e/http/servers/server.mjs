// Node.js: node server.mjs http|h2c|https|h2 LOG [CERTIFICATE KEY]
// Targets and log lines are those of the Python servers (answers.py, account.py).
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";

const [kind, log, certificate, key] = process.argv.slice(2);
const BODY = Buffer.alloc(5 * 1024 * 1024, "x");
const PIECE = 16 * 1024;
const account = fs.openSync(log, "a");

function answer(target) {
  const [, what, value] = target.split("?")[0].split("/");
  if (what === "status") {
    const status = Number(value);
    return { status, body: [204, 304].includes(status) ? null : Buffer.from("as told\n"), tellsLength: true };
  }
  if (!["bytes", "chunked", "upload"].includes(what)) {
    return { status: 404, body: Buffer.from("no such thing\n"), tellsLength: true };
  }
  return { status: 200, body: BODY.subarray(0, Number(value)), tellsLength: what !== "chunked" };
}

function serve(request, response) {
  let requestBody = 0;
  request.on("data", (piece) => {
    requestBody += piece.length;
  });
  request.on("end", () => {
    const { status, body, tellsLength } = answer(request.url);
    response.statusCode = status;
    if (body !== null && tellsLength) response.setHeader("Content-Length", body.length);
    let sent = 0;
    if (body !== null && request.method !== "HEAD") {
      for (; sent < body.length; sent += Math.min(PIECE, body.length - sent)) {
        response.write(body.subarray(sent, sent + PIECE));
      }
    }
    const said = {
      method: request.method,
      path: request.url,
      status,
      request_body_bytes: requestBody,
      response_body_bytes: sent,
      version: request.httpVersionMajor,
      tls: Boolean(request.socket.encrypted),
    };
    fs.writeSync(account, JSON.stringify(said) + "\n");
    response.end();
  });
}

const secrets = certificate && { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
const server = {
  http: () => http.createServer(serve),
  h2c: () => http2.createServer(serve),
  https: () => https.createServer(secrets, serve),
  h2: () => http2.createSecureServer({ ...secrets, allowHTTP1: true }, serve),
}[kind]();
server.keepAliveTimeout = 600_000; // ms: a connection with nothing to say is not to be ended when a machine stalls
process.on("SIGTERM", () => process.exit(0));
server.listen({ host: "127.0.0.1", port: 0, backlog: 128 }, () => {
  console.log(JSON.stringify({ port: server.address().port }));
});
