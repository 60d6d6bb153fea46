// gRPC on Node.js: the calls of test_grpc.py (messages.py) on one connection, a hundred at once.
import fs from "node:fs";

import { UNLIMITED, account, grpc, kindAndStatus, onTheWire, raw } from "../grpc_js/echo.mjs";

const { address, ca, calls } = JSON.parse(fs.readFileSync(0));
const MADE_AT_ONCE = 100;

function messages(sizes, wanted) {
  return sizes.map((size, index) => {
    const message = Buffer.alloc(size, "y");
    message.writeBigUInt64BE(BigInt(wanted[index]));
    return message;
  });
}

function call(client, path, sizes, wanted) {
  const [kind] = kindAndStatus(path);
  const requests = messages(sizes, wanted);
  let received = 0;
  const receive = (message) => (received += onTheWire([message]));
  return new Promise((resolve) => {
    const end = (status) => {
      fs.writeSync(1, account(path, onTheWire(requests), received, status, Boolean(ca)));
      resolve();
    };
    // A single answer comes with the end; a stream of them says its end by itself.
    const answered = (error, message) => {
      if (!error) receive(message);
      end(error ? error.code : 0);
    };
    const ask = {
      unary: () => client.makeUnaryRequest(path, raw, raw, requests[0], answered),
      upload: () => client.makeClientStreamRequest(path, raw, raw, answered),
      download: () => client.makeServerStreamRequest(path, raw, raw, requests[0]),
      both: () => client.makeBidiStreamRequest(path, raw, raw),
    }[kind]();
    if (["upload", "both"].includes(kind)) {
      for (const request of requests) ask.write(request);
      ask.end();
    }
    if (["download", "both"].includes(kind)) {
      ask.on("data", receive);
      ask.on("error", () => {}); // the status says it
      ask.on("status", (status) => end(status.code));
    }
  });
}

const secrets = ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure();
const client = new grpc.Client(address, secrets, UNLIMITED);
const waiting = calls.values();
async function work() {
  for (const made of waiting) await call(client, ...made);
}
await Promise.all(Array.from({ length: MADE_AT_ONCE }, work));
client.close();
