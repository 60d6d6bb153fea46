// gRPC on Node.js: node grpc_server.mjs LOG [CERTIFICATE KEY]
// Answers every kind of call of echo.py. It knows methods by their whole names, so N is a number below METHODS.
import fs from "node:fs";

import { SERVICE, UNLIMITED, account, grpc, kindAndStatus, onTheWire, raw } from "../grpc_js/echo.mjs";

const [log, certificate, key] = process.argv.slice(2);
const METHODS = 23;
const DOWNLOADED = 7; // messages of a stream of responses
const TYPES = { unary: "unary", upload: "clientStream", download: "serverStream", both: "bidi" }; // as the library says
const BODY = Buffer.alloc(5 * 1024 * 1024, "x");
const said = fs.openSync(log, "a");

function answers(kind, requests) {
  const sizes = requests.map((request) => Number(request.readBigUInt64BE()));
  if (kind === "download") return Array(DOWNLOADED).fill(sizes[0]);
  return kind === "upload" ? [sizes.reduce((sum, size) => sum + size)] : sizes;
}

// The messages of the response; none where the call is answered by a status alone.
function answer(path, requests) {
  const [kind, status] = kindAndStatus(path);
  const sent = status === 0 ? answers(kind, requests).map((size) => BODY.subarray(0, size)) : [];
  fs.writeSync(said, account(path, onTheWire(requests), onTheWire(sent), status, Boolean(certificate)));
  return [sent, status === 0 ? null : { code: status, details: "as told" }];
}

function received(call) {
  if (call.request) return Promise.resolve([call.request]);
  return new Promise((resolve) => {
    const requests = [];
    call.on("data", (message) => requests.push(message));
    call.on("end", () => resolve(requests));
  });
}

// Where one answer is all there is, it goes to `reply` with the status; else answers are written one after the other.
async function respond(path, call, reply) {
  const [sent, failure] = answer(path, await received(call));
  if (reply) {
    reply(failure, sent[0]);
    return;
  }
  for (const message of sent) call.write(message);
  if (failure) call.emit("error", failure);
  else call.end();
}

const server = new grpc.Server(UNLIMITED);
for (const [kind, type] of Object.entries(TYPES)) {
  for (const status of Object.values(grpc.status).filter(Number.isInteger)) {
    for (let number = 0; number < METHODS; number += 1) {
      const path = `${SERVICE}${kind}.${status}.${number}`;
      server.register(path, (call, reply) => respond(path, call, reply), raw, raw, type);
    }
  }
}
const secrets = certificate
  ? grpc.ServerCredentials.createSsl(null, [
      { cert_chain: fs.readFileSync(certificate), private_key: fs.readFileSync(key) },
    ])
  : grpc.ServerCredentials.createInsecure();
process.on("SIGTERM", () => process.exit(0));
server.bindAsync("127.0.0.1:0", secrets, (error, port) => {
  if (error) throw error;
  console.log(JSON.stringify({ port }));
});
