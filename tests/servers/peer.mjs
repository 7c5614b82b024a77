// What Node's own HTTP/2 serves in test_http2_servers.py; peer_app.py answers alike.
// Arguments: the file with certificate and key, and the descriptors of the plain and of the TLS socket.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { gzipSync } from "node:zlib";

const [certificate, plain, tls] = process.argv.slice(2);
const pem = readFileSync(certificate);
const binary = { "/1mb.bin": 1_000_000, "/20mb.bin": 20_000_000 };
let connections = 0;

const answers = {
  "/json": (stream) => respond(stream, '{"message": "hello"}', { "content-type": "application/json", "content-length": 20 }),
  "/digest": (stream) => {
    const digest = createHash("sha256");
    stream.on("data", (chunk) => digest.update(chunk));
    stream.on("end", () => respond(stream, digest.digest("hex")));
  },
  "/echo": (stream) => {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  },
  "/trailers": (stream) => {
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-trailer": "yes" }));
    stream.end("content");
  },
  "/hints": (stream) => {
    stream.additionalHeaders({ ":status": 103, link: "</a.css>; rel=preload" });
    respond(stream, "content");
  },
  "/squeezed": (stream) => respond(stream, gzipSync("squeezed ".repeat(1000)), { "content-encoding": "gzip" }),
  "/moved": (stream) => respond(stream, "", { ":status": 301, location: "/json" }),
  "/nothing": (stream) => respond(stream, undefined, { ":status": 204 }),
};

function respond(stream, body, fields = {}) {
  if (stream.destroyed) return;
  stream.respond({ ":status": 200, "x-connection": stream.session.number, ...fields });
  stream.end(body);
}

function onStream(stream, fields) {
  stream.on("error", () => {});
  const answer = answers[fields[":path"]];
  if (answer) answer(stream);
  else if (fields[":path"] in binary)
    respond(stream, createHash("shake128", { outputLength: binary[fields[":path"]] }).update("peer").digest());
  else respond(stream, "no such path", { ":status": 404 });
}

for (const [server, fd] of [
  // Answers of 20 MB wait in memory, also those that the client has left: by default 10 MB may.
  [http2.createServer({ maxSessionMemory: 1000 }), plain],
  [http2.createSecureServer({ cert: pem, key: pem, maxSessionMemory: 1000 }), tls],
]) {
  server.on("session", (session) => {
    session.number = ++connections;
    session.on("error", () => {});
  });
  server.on("stream", onStream);
  server.listen({ fd: Number(fd) });
}
process.on("SIGTERM", () => process.exit(0));
