// Node.js: websockets over HTTP/2 (RFC 8441), a stream of one connection for each call, all at once.
//
//   node websocket.mjs MESSAGES    the calls as JSON on standard input (calls.py), an account on standard output
//
// Each message comes back as it was. Frames are those of RFC 6455 section 5.2: binary, whole, masked with zeros.
import fs from "node:fs";
import http2 from "node:http2";

const { base, ca, calls } = JSON.parse(fs.readFileSync(0));
const count = Number(process.argv[2]);
const sizes = [0, 1, 125, 126, 2047, 2048, 20480, 65536];
const messages = Array.from({ length: count }, (_, number) => Buffer.alloc(sizes[number % sizes.length], "m"));

function head(size, isMasked) {
  const mask = isMasked ? 0x80 : 0;
  if (size < 126) return Buffer.from([0x82, mask | size]);
  const long = Buffer.alloc(size < 65536 ? 4 : 10);
  long[0] = 0x82;
  long[1] = mask | (size < 65536 ? 126 : 127);
  if (size < 65536) long.writeUInt16BE(size, 2);
  else long.writeBigUInt64BE(BigInt(size), 2);
  return long;
}

const frame = (message) => Buffer.concat([head(message.length, true), Buffer.alloc(4), message]);
const answer = Buffer.concat(messages.flatMap((message) => [head(message.length, false), message]));
const CLOSE = Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]); // 1000: all is done

function talk(session, call) {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ":method": "CONNECT", ":protocol": "websocket", ":path": call.target, "sec-websocket-version": "13" },
      { endStream: false },
    );
    let status = 0;
    let sent = 0;
    let size = 0;
    const received = [];
    const send = (data) => {
      sent += data.length;
      stream.write(data);
    };
    stream.on("response", (headers) => {
      status = headers[":status"];
      for (const message of messages) send(frame(message));
    });
    stream.on("data", (piece) => {
      received.push(piece);
      const before = size;
      size += piece.length;
      if (before < answer.length && size >= answer.length) send(CLOSE);
    });
    stream.on("end", () => {
      if (!Buffer.concat(received).subarray(0, answer.length).equals(answer)) throw new Error("another answer");
      stream.end();
    });
    stream.on("close", () => {
      const said = {
        method: "CONNECT",
        path: call.target,
        status,
        request_body_bytes: sent,
        response_body_bytes: size,
        version: 2,
        tls: Boolean(ca),
      };
      fs.writeSync(1, JSON.stringify(said) + "\n");
      resolve();
    });
    stream.on("error", reject);
  });
}

const session = http2.connect(base, ca ? { ca: fs.readFileSync(ca) } : {});
await new Promise((resolve) => session.once("remoteSettings", resolve)); // which allow the method
await Promise.all(calls.map((call) => talk(session, call)));
session.close();
