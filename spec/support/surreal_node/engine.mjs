// engine.mjs - SurrealDB's engine inside this process, and its sessions.
//
// A request over HTTP says who asks (a token) and where (namespace, database); the engine knows
// sessions. There is one session for each combination that was seen, made when it is first asked
// for, and at most so many: the one that was used longest ago goes. A session that the engine gives
// out is the owner's, without a password: nothing is ever asked on one that was not signed in.
import { createRequire } from "node:module";
import { readdirSync } from "node:fs";
import { randomBytes } from "node:crypto";
import path from "node:path";
import { decode, encode, withEntry } from "./cbor.mjs";

const SESSIONS_MAX = 500;

// The package's own entry wants its peer, and keeps the class to itself: the native part is loaded.
function native(dir) {
  const require = createRequire(path.join(dir, "x.js"));
  const dist = path.join(dir, "node_modules/@surrealdb/node/dist");
  const glibc = process.report.getReport().header.glibcVersionRuntime !== undefined;
  const want = `.${process.platform}-${process.arch}${process.platform === "linux" ? (glibc ? "-gnu" : "-musl") : ""}.node`;
  const name = readdirSync(dist).find((file) => file.endsWith(want));
  if (!name) throw new Error(`${dist} has no engine for${want.replaceAll(".", " ")}`);
  return require(path.join(dist, name)).SurrealNodeEngine;
}

export class Refused extends Error {} // 401

export class Engine {
  static async open(dir, url, user, password) {
    const engine = new Engine();
    engine.native = await native(dir).connect(url, { capabilities: { functions: true } });
    engine.sessions = new Map(); // "token\0ns\0db" -> promise of an id
    if (user) {
      const exists = "DEFINE USER IF NOT EXISTS `" + user.replaceAll("`", "\\`") + "` ON ROOT PASSWORD $password ROLES OWNER";
      // A parameter is not allowed there: the text is written as a string of SurrealQL.
      const text = "'" + password.replaceAll("\\", "\\\\").replaceAll("'", "\\'") + "'";
      await engine.ask("query", [exists.replace("$password", () => text)]);
    }
    return engine;
  }

  close() {
    this.native.free();
  }

  version() {
    return this.ask("version", []);
  }

  // One call of our own; its result, or an Error with the answer's message.
  async ask(method, params, session) {
    const message = { id: 1, method, params };
    if (session) message.session = session;
    const answer = decode(Buffer.from(await this.native.execute(encode(message))));
    if (answer && answer.error && answer.error.code) {
      throw Object.assign(new Error(answer.error.message), { answer });
    }
    return answer;
  }

  async attach() {
    const id = { tag: 37, value: randomBytes(16) };
    await this.ask("attach", [], id);
    return id;
  }

  async open_session(token, ns, db) {
    const id = await this.attach();
    try {
      await this.ask("authenticate", [token], id);
    } catch (error) {
      await this.ask("detach", [], id);
      throw new Refused("InvalidToken");
    }
    if (ns || db) await this.ask("use", [ns || null, db || null], id);
    return id;
  }

  session(token, ns, db) {
    const key = [token, ns, db].join("\0");
    let id = this.sessions.get(key);
    this.sessions.delete(key); // and to the end
    if (!id) {
      id = this.open_session(token, ns, db);
      id.catch(() => this.sessions.delete(key));
    }
    this.sessions.set(key, id);
    if (this.sessions.size > SESSIONS_MAX) {
      const [oldest, gone] = this.sessions.entries().next().value;
      this.sessions.delete(oldest);
      gone.then((it) => this.ask("detach", [], it)).catch(() => {});
    }
    return id;
  }

  // Passes a request's bytes through; the bytes of the engine's answer, without an envelope.
  async pass(bytes, session) {
    return Buffer.from(await this.native.execute(session ? withEntry(bytes, "session", session) : bytes));
  }

  // As `pass`, on a session that is gone afterwards: for what would change it for the next one. Nobody
  // is signed in without a token.
  async pass_once(bytes, token, ns, db) {
    const id = token ? await this.open_session(token, ns, db) : await this.attach();
    try {
      return await this.pass(bytes, id);
    } finally {
      await this.ask("detach", [], id);
    }
  }
}
