// What the server and the client of gRPC on Node.js have in common: the calls of servers/echo.py.
import { createRequire } from "node:module";

// The package is in a folder of downloads, which NODE_PATH names; only `require` looks there.
export const grpc = createRequire(import.meta.url)("@grpc/grpc-js");

export const SERVICE = "/pyrover.test.Echo/";
export const UNLIMITED = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
const MESSAGE_HEAD = 5; // bytes before each message: whether it is compressed, and its length

// Messages are taken as they are.
export const raw = (message) => message;

export const onTheWire = (messages) => messages.reduce((sum, message) => sum + MESSAGE_HEAD + message.length, 0);

// What a method's name says: its kind, and the status that it is answered with.
export function kindAndStatus(path) {
  const [kind, status] = path.slice(SERVICE.length).split(".");
  return [kind, Number(status)];
}

// A line of an account (account.py).
export function account(path, requestBody, responseBody, status, isSecure) {
  const said = {
    method: "POST",
    path,
    status: 200,
    request_body_bytes: requestBody,
    response_body_bytes: responseBody,
    version: 2,
    tls: isSecure,
    grpc_status: status,
  };
  return JSON.stringify(said) + "\n";
}
