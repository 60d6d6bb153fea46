// Node.js: node client.mjs http1|http2, the calls as JSON on standard input (calls.py), an account on standard output.
// HTTP/1.1 makes one call after the other on a connection that is kept; HTTP/2 makes a hundred at once on one.
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";

const { base, ca, calls } = JSON.parse(fs.readFileSync(0));
const isSecure = base.startsWith("https");
const streams = 100; // at once: servers refuse a session that has thousands
const trust = ca ? { ca: fs.readFileSync(ca) } : {};

function tell(call, status, responseBody, version) {
  const said = {
    method: call.method,
    path: call.target,
    status,
    request_body_bytes: call.body_bytes,
    response_body_bytes: responseBody,
    version,
    tls: isSecure,
  };
  fs.writeSync(1, JSON.stringify(said) + "\n");
}

function headersOf(call) {
  if (call.body_bytes === 0 && !["POST", "PUT"].includes(call.method)) return {};
  return call.chunked ? {} : { "content-length": call.body_bytes };
}

function callOnce(agent, call) {
  const { request } = isSecure ? https : http;
  return new Promise((resolve, reject) => {
    const options = { agent, method: call.method, headers: headersOf(call), ...trust };
    const ask = request(base + call.target, options, (response) => {
      let size = 0;
      response.on("data", (piece) => (size += piece.length));
      response.on("end", () => {
        tell(call, response.statusCode, size, 1);
        resolve();
      });
    });
    ask.on("error", reject);
    ask.end(Buffer.alloc(call.body_bytes, "y"));
  });
}

function callOnStream(session, call) {
  return new Promise((resolve, reject) => {
    const withBody = call.body_bytes > 0;
    const head = { ":method": call.method, ":path": call.target, ...headersOf(call) };
    const stream = session.request(head, { endStream: !withBody });
    let status = 0;
    let size = 0;
    stream.on("response", (headers) => (status = headers[":status"]));
    stream.on("data", (piece) => (size += piece.length));
    stream.on("end", () => {
      tell(call, status, size, 2);
      resolve();
    });
    stream.on("error", reject);
    if (withBody) stream.end(Buffer.alloc(call.body_bytes, "y"));
  });
}

if (process.argv[2] === "http1") {
  const agent = new (isSecure ? https : http).Agent({ keepAlive: true, maxSockets: 1 });
  for (const call of calls) await callOnce(agent, call);
  agent.destroy();
} else {
  const session = http2.connect(base, trust);
  for (let at = 0; at < calls.length; at += streams) {
    await Promise.all(calls.slice(at, at + streams).map((call) => callOnStream(session, call)));
  }
  session.close();
}
