// server.mjs - enough of SurrealDB's HTTP for rucat and its specs, over the engine in this process:
//
//     POST /rpc      CBOR, passed through (the session is added); 401 for a token that is not good
//     POST /sql      text in, JSON out, with Basic or Bearer: for specs and people
//     GET  /health   /status   /version
//
// See the script `surreal` beside this for how it is started. SIGTERM ends it.
import http from "node:http";
import { decode, encode } from "./cbor.mjs";
import { Engine, Refused } from "./engine.mjs";

const BODY_MAX = 4 << 20; // as the real server's /rpc
const OPEN = new Set(["version", "ping", "signin", "signup"]); // without a token

const anonymous = {
  error: {
    code: -32002, kind: "NotAllowed",
    message: "Anonymous access not allowed: Not enough permissions to perform this action",
  },
};

let engine, version;

class Answer extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

function body_of(request) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    let size = 0;
    request.on("data", (piece) => {
      size += piece.length;
      if (size <= BODY_MAX) pieces.push(piece);
    });
    request.on("end", () => size > BODY_MAX
      ? reject(new Answer(413, "Payload Too Large")) : resolve(Buffer.concat(pieces)));
    request.on("error", reject);
  });
}

// The end of a token is in it; the engine itself looks at it only when a session is opened.
function check_age(token) {
  let claims = {};
  try {
    claims = JSON.parse(Buffer.from(token.split(".")[1] || "", "base64url").toString());
  } catch (error) {
    throw new Refused("InvalidToken");
  }
  if (claims.exp && claims.exp * 1000 <= Date.now()) throw new Refused("ExpiredToken");
}

function place(request) {
  return [request.headers["surreal-ns"] || "", request.headers["surreal-db"] || ""];
}

// Who asks: a token, or null.
async function token_of(request) {
  const [kind, word] = (request.headers.authorization || "").split(" ");
  if (kind === "Bearer" && word) {
    check_age(word);
    return word;
  }
  if (kind !== "Basic" || !word) return null;
  const [, user, pass] = Buffer.from(word, "base64").toString().match(/^([^:]*):(.*)$/s) || [];
  const id = await engine.attach();
  try {
    return await engine.ask("signin", [{ user, pass }], id);
  } catch (error) {
    throw new Refused("The password did not verify");
  } finally {
    await engine.ask("detach", [], id);
  }
}

// Each request of the real server stands by itself; on a session these would be felt by the next.
function changes_session(message) {
  return message.method !== "query" || /\b(use|let)\b/i.test(String((message.params || [])[0]));
}

function has_failed(answer) {
  const first = decode(answer);
  return Boolean(first && typeof first === "object" && first.error && first.error.code);
}

function envelope(answer) {
  return has_failed(answer) ? answer : Buffer.concat([Buffer.from([0xa1]), encode("result"), answer]);
}

// A session that the client attached itself and names in each request (rucat's way). The engine makes
// it the owner's: nothing but a sign-in is passed to one that has not signed in.
const attached = new Map(); // id -> has signed in

async function own_session(message, bytes) {
  const id = Buffer.from(message.session.value).toString("hex");
  const open = ["signin", "attach", "detach", "version"].includes(message.method);
  if (attached.get(id) === false && !open) return encode(anonymous);
  const answer = Buffer.from(await engine.native.execute(bytes));
  if (!has_failed(answer)) {
    if (message.method === "attach") attached.set(id, false);
    if (message.method === "signin") attached.set(id, true);
    if (message.method === "detach") attached.delete(id);
  }
  return answer;
}

async function rpc(request, bytes) {
  if (request.headers["content-type"] !== "application/cbor") {
    throw new Answer(415, "this stand-in speaks application/cbor on /rpc");
  }
  let message;
  try {
    message = decode(bytes);
  } catch (error) {
    throw new Answer(400, "Invalid request: " + error.message);
  }
  if (message.session) return envelope(await own_session(message, bytes));
  const token = await token_of(request);
  let answer;
  if (OPEN.has(message.method)) answer = await engine.pass_once(bytes);
  else if (!token) return encode(anonymous);
  else if (changes_session(message)) answer = await engine.pass_once(bytes, token, ...place(request));
  else answer = await engine.pass(bytes, await engine.session(token, ...place(request)));
  return envelope(answer);
}

// What JSON can say of a value.
function plain(value) {
  if (typeof value === "bigint") return JSON.rawJSON ? JSON.rawJSON(String(value)) : String(value);
  if (Buffer.isBuffer(value)) return value.toString("base64");
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value === undefined ? null : value;
  if (value.tag === 6) return null;
  if (value.tag === 8) return `${value.value[0]}:${plain(value.value[1])}`;
  if (value.tag === 12) {
    return new Date(Number(value.value[0]) * 1000 + Math.floor(Number(value.value[1] || 0) / 1e6)).toISOString();
  }
  if (value.tag !== undefined && "value" in value) return plain(value.value);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

async function sql(request, bytes) {
  const token = await token_of(request);
  if (!token) throw new Answer(403, JSON.stringify({ code: 403, details: "Forbidden" }));
  const message = encode({ id: 1, method: "query", params: [bytes.toString("utf8")] });
  try {
    const answer = decode(await engine.pass_once(message, token, ...place(request)));
    if (answer.error && answer.error.code) throw new Error(answer.error.message);
    return JSON.stringify(plain(answer));
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Answer(400, JSON.stringify({ code: 400, information: error.message }));
  }
}

async function answer(request, response) {
  const path = request.url.split("?")[0];
  const send = (status, type, body) => {
    response.writeHead(status, { "content-type": type, "surreal-version": version.replace("-", "/") });
    response.end(body);
  };
  try {
    const bytes = await body_of(request);
    if (path === "/health" || path === "/status") send(200, "text/plain", "");
    else if (path === "/version") send(200, "text/plain", version);
    else if (path === "/rpc" && request.method === "POST") send(200, "application/cbor", await rpc(request, bytes));
    else if (path === "/sql" && request.method === "POST") send(200, "application/json", await sql(request, bytes));
    else send(404, "text/plain", "");
  } catch (error) {
    if (error instanceof Refused) send(401, "text/plain", error.message);
    else if (error instanceof Answer) send(error.status, "text/plain", error.message);
    else {
      console.log(error);
      send(500, "application/json", JSON.stringify({ code: 500, information: String(error.message) }));
    }
  }
}

async function main() {
  const words = process.argv.slice(2);
  const options = { "--bind": "127.0.0.1:8000", "--user": null, "--pass": null, "--log": null };
  const command = words.shift();
  let url = "memory";
  while (words.length > 0) {
    const word = words.shift();
    const [name, value] = word.match(/^(--[a-z-]+)(?:=(.*))?$/s)?.slice(1) || [];
    if (name in options) options[name] = value ?? words.shift();
    else if (word.startsWith("-")) throw new Error(`${word} is not known`);
    else url = word;
  }
  const dir = process.env.SPEC_SURREAL_NODE;
  if (command !== "start") {
    const probe = await Engine.open(dir, "mem://");
    console.log(`${(await probe.version()).replace("surrealdb-", "")} by npm @surrealdb/node`);
    probe.close();
    return;
  }
  engine = await Engine.open(dir, url === "memory" ? "mem://" : url, options["--user"], options["--pass"] ?? "");
  version = await engine.version();
  const [, host, port] = options["--bind"].match(/^\[?(.*?)\]?:(\d+)$/);
  const server = http.createServer(answer);
  server.keepAliveTimeout = 60000;
  const end = () => {
    server.close();
    server.closeAllConnections();
    engine.close();
    setTimeout(() => process.exit(0), 100);
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
  server.on("error", (error) => {
    console.log(error.message);
    process.exit(1);
  });
  server.listen(Number(port), host, () => console.log(`${version} on ${host}:${server.address().port}`));
}

main().catch((error) => {
  console.log(error.message);
  process.exit(1);
});
