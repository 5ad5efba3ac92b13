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
  return answer && typeof answer === "object" && answer.error && answer.error.code;
}

// Sessions that clients have attached. Each stands for one of the engine's: the engine takes everybody for
// the owner until somebody has signed in, and a sign-in there waits until all that the session does is
// over; the real server does neither. So nothing is asked before a sign-in, and each sign-in gets a new
// session of the engine.
const attached = new Map(); // id in hex -> { inner, user: is somebody signed in?, place }

const IN_SESSION = {
  async attach(id) {
    if (attached.has(id)) {
      return encode({ error: { code: -32000, kind: "AlreadyExists", message: "Session already exists: " + id } });
    }
    attached.set(id, { inner: await engine.attach(), user: false, place: null });
    return encode({ tag: 6, value: null });
  },
  async detach(id) {
    const { inner } = attached.get(id);
    attached.delete(id);
    await engine.ask("detach", [], inner);
    return encode({ tag: 6, value: null });
  },
  async signin(id, forward) {
    const inner = await engine.attach();
    const answer = await forward(inner);
    if (has_failed(decode(answer))) {
      await engine.ask("detach", [], inner);
      return answer;
    }
    const session = attached.get(id), old = session.inner;
    Object.assign(session, { inner, user: true });
    if (session.place) await engine.ask("use", session.place, inner);
    engine.ask("detach", [], old).catch(() => {});
    return answer;
  },
  async use(id, forward, message) {
    attached.get(id).place = message.params;
    return forward(attached.get(id).inner);
  },
};
IN_SESSION.authenticate = IN_SESSION.signup = IN_SESSION.signin;

async function in_session(bytes, message) {
  const uuid = Buffer.from(message.session.value ?? message.session);
  const id = uuid.toString("hex"), session = attached.get(id);
  const forward = (inner) => {
    const copy = Buffer.from(bytes);
    inner.value.copy(copy, copy.indexOf(uuid));
    return engine.pass(copy);
  };
  if (!session && message.method !== "attach") return engine.pass(bytes); // the engine says that there is none
  if (IN_SESSION[message.method]) return IN_SESSION[message.method](id, forward, message);
  if (!session.user && !OPEN.has(message.method)) return encode(anonymous);
  return forward(session.inner);
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
  const token = await token_of(request);
  let answer;
  if (message.session) answer = await in_session(bytes, message);
  else if (OPEN.has(message.method)) answer = await engine.pass_once(bytes);
  else if (!token) return encode(anonymous);
  else if (changes_session(message)) answer = await engine.pass_once(bytes, token, ...place(request));
  else answer = await engine.pass(bytes, await engine.session(token, ...place(request)));
  return has_failed(decode(answer)) ? answer : Buffer.concat([Buffer.from([0xa1]), encode("result"), answer]);
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
  const { SURREAL_USER = null, SURREAL_PASS = null } = process.env;
  const options = { "--bind": "127.0.0.1:8000", "--user": SURREAL_USER, "--pass": SURREAL_PASS, "--log": null };
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
