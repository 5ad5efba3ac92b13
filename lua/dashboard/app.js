// app.js: the dashboard. Data goes onto the page as text only (textContent), never as HTML. Changes come
// by server-sent events; after a break everything is asked for again.
"use strict";

const $ = (selector) => document.querySelector(selector);
const engines = new Map(); // id -> engine
let open = null;           // the engine whose details are shown: { id, stop }

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "class") element.className = value;
    else if (name === "onclick") element.addEventListener("click", value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// ---- talking to the server ----

class Problem extends Error {
  constructor(body, status) {
    const lines = (body.errors || []).map((error) => error.field + ": " + error.message);
    super([body.detail || body.title || "status " + status, ...lines].join("\n"));
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server cannot be reached.");
  }
  const text = await answer.text();
  let body = {};
  try { body = text ? JSON.parse(text) : {}; } catch { body = { detail: text }; }
  if (!answer.ok) throw new Problem(body, answer.status);
  return body;
}

function say(text) {
  $("#alert").hidden = !text;
  $("#alert").textContent = text || "";
}

// ---- the list ----

function actions(engine) {
  const stopping = engine.reason === "Stopping" || engine.desired === "Deleted";
  const button = (verb, label, off, question) => make("button", {
    type: "button", "data-key": engine.id + verb, disabled: off,
    "aria-label": label + " " + engine.name,
    onclick: () => act(engine, verb, question),
  }, label);
  return make("div", { class: "actions" },
    button("start", "Start", engine.desired === "Running" && engine.state !== "Stopped"),
    button("stop", "Stop", engine.desired !== "Running" || stopping, "Stop " + engine.name + "? What runs on it ends."),
    button("restart", "Restart", engine.desired === "Deleted", "Restart " + engine.name + "? What runs on it ends."),
    button("delete", "Delete", engine.desired === "Deleted", "Delete " + engine.name + " and all it has?"));
}

function endpoint(engine) {
  if (!engine.endpoint) return make("span", {}, "—");
  const copy = make("button", { type: "button", "data-key": engine.id + "copy",
    "aria-label": "Copy the endpoint of " + engine.name,
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(engine.endpoint);
        copy.textContent = "Copied";
      } catch {
        copy.textContent = "Select it by hand";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    } }, "Copy");
  const ui = /^https?:\/\//.test(engine.ui || "")
    ? make("a", { href: engine.ui, target: "_blank", rel: "noreferrer noopener" }, "UI") : null;
  return make("span", {}, make("code", {}, engine.endpoint), " ", copy, " ", ui);
}

function row(engine) {
  const cell = (label, extra, ...children) =>
    make("td", { "data-label": label, class: extra }, ...children);
  const first = make("td", { class: "first", "data-label": "Name" },
    make("button", { type: "button", class: "name", "data-key": engine.id + "name",
      "aria-label": "Details of " + engine.name, onclick: () => show(engine.id) }, engine.name));
  const message = engine.message ? make("div", { class: "message" }, engine.message.split("\n")[0]) : null;
  const next = engine.next_start_at ? make("div", {}, "next start " + clock(engine.next_start_at)) : null;
  return make("tr", { "data-id": engine.id }, first,
    cell("Type", "", engine.type + " · " + engine.platform),
    cell("State", "state " + engine.state, engine.state),
    cell("Health", engine.health, engine.health),
    cell("Reason", "message", engine.reason, message, next),
    cell("Restarts", "", String(engine.restarts)),
    cell("Endpoint", "", endpoint(engine)),
    make("td", { class: "actions-cell", "data-label": "Actions" }, actions(engine)));
}

// Draws a row again only where something changed, and keeps the keyboard where it was.
function draw() {
  const body = $("#engines tbody");
  const focus = document.activeElement && document.activeElement.getAttribute("data-key");
  const wanted = [...engines.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const rows = new Map([...body.children].map((tr) => [tr.dataset.id, tr]));
  wanted.forEach((engine, place) => {
    let tr = rows.get(engine.id);
    rows.delete(engine.id);
    if (!tr || tr.dataset.rev !== String(engine.rev)) {
      const fresh = row(engine);
      fresh.dataset.rev = engine.rev;
      if (tr) tr.replaceWith(fresh);
      tr = fresh;
    }
    if (body.children[place] !== tr) body.insertBefore(tr, body.children[place] || null);
  });
  rows.forEach((tr) => tr.remove());
  if (focus && document.activeElement.getAttribute("data-key") !== focus) {
    const again = [...document.querySelectorAll("[data-key]")].find((e) => e.dataset.key === focus);
    if (again) again.focus();
  }
  $("#count").textContent = wanted.length ? "(" + wanted.length + ")" : "";
  $("#empty").hidden = wanted.length > 0;
  $("#engines").hidden = wanted.length === 0;
}

async function load() {
  const all = [];
  let cursor = "";
  do {
    const page = await ask("/v1/engines?limit=1000" + (cursor && "&cursor=" + cursor));
    all.push(...page.engines);
    cursor = page.next_cursor;
  } while (cursor);
  engines.clear();
  all.forEach((engine) => engines.set(engine.id, engine));
  draw();
}

const asking = new Set(), again = new Set();

// Asks for one engine; what comes while it is asked is asked once more afterwards.
async function refresh(id) {
  if (asking.has(id)) {
    again.add(id);
    return;
  }
  asking.add(id);
  try {
    engines.set(id, await ask("/v1/engines/" + id));
  } catch (error) {
    if (error instanceof Problem) engines.delete(id);
  }
  asking.delete(id);
  draw();
  if (open && open.id === id) facts(engines.get(id));
  if (again.delete(id)) refresh(id);
}

// ---- doing something ----

function confirmed(question) {
  const dialog = $("#confirm");
  $("#confirm-text").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function act(engine, verb, question) {
  say("");
  if (question && !(await confirmed(question))) return;
  const path = "/v1/engines/" + engine.id;
  try {
    await (verb === "delete" ? ask(path, { method: "DELETE" }) : ask(path + "/" + verb, { method: "POST" }));
  } catch (error) {
    say(engine.name + ": " + error.message);
  }
  refresh(engine.id);
}

function value(text) {
  if (text === "true" || text === "false") return text === "true";
  return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
}

function request(form) {
  const data = Object.fromEntries(new FormData(form));
  const [type, platform] = data.template.split("|");
  const body = { name: data.name, type: type || data.type, platform };
  if (data.version) body.version = data.version;
  if (platform === "external") body.endpoint = data.endpoint;
  const lines = data.config.split("\n").map((line) => line.trim()).filter(Boolean);
  if (lines.length) {
    body.config = {};
    for (const line of lines) {
      const at = line.indexOf("=");
      if (at < 1) throw new Error("settings: “" + line + "” is not key=value");
      body.config[line.slice(0, at).trim()] = value(line.slice(at + 1).trim());
    }
  }
  return body;
}

async function openCreate() {
  const select = $("#f-template");
  $("#create-problem").textContent = "";
  try {
    const { templates, defaults } = await ask("/v1/templates");
    select.replaceChildren(...templates.map((template) => make("option", {
      value: (template.type || "") + "|" + template.platform,
      selected: template.type === defaults.type && template.platform === defaults.platform,
    }, template.type ? template.type + " · " + template.platform : template.platform)));
  } catch (error) {
    $("#create-problem").textContent = error.message;
  }
  templateChosen();
  $("#create").showModal();
  $("#f-name").focus();
}

function templateChosen() {
  const [type, platform] = $("#f-template").value.split("|");
  $("#row-endpoint").hidden = platform !== "external";
  $("#row-type").hidden = type !== "";
}

async function submitCreate(event) {
  event.preventDefault();
  const form = event.target;
  $("#create-problem").textContent = "";
  try {
    const engine = await ask("/v1/engines", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request(form)),
    });
    engines.set(engine.id, engine);
    draw();
    form.reset();
    $("#create").close();
  } catch (error) {
    $("#create-problem").textContent = error.message;
  }
}

// ---- one engine ----

function clock(time) {
  return time ? new Date(time).toLocaleString() : "—";
}

function facts(engine) {
  const list = [];
  const fact = (name, text) => list.push(make("dt", {}, name), make("dd", {}, text === null ? "—" : String(text)));
  if (!engine) {
    $("#facts").replaceChildren(make("dd", {}, "It is deleted."));
    return;
  }
  fact("Id", engine.id);
  fact("Type", engine.type + " on " + engine.platform + (engine.version ? ", version " + engine.version : ""));
  fact("State", engine.state + " (" + engine.reason + "), wanted " + engine.desired + ", " + engine.health);
  if (engine.message) fact("Message", engine.message);
  fact("Endpoint", engine.endpoint);
  fact("Owner", engine.owner);
  fact("Epoch", engine.epoch + ", " + engine.restarts + " automatic restarts");
  const exit = engine.exit || {};
  if (exit.signal || exit.code !== null) fact("Last exit", exit.signal || "code " + exit.code);
  if (engine.next_start_at) fact("Next start", clock(engine.next_start_at));
  fact("Created", clock(engine.created_at));
  fact("Started", clock(engine.started_at));
  for (const [key, item] of Object.entries(engine.config)) fact(key, item);
  $("#facts").replaceChildren(...list);
}

function eventLine(event) {
  const move = event.from && event.to && event.from !== event.to ? event.from + " → " + event.to + ", " : "";
  return make("li", { "data-event": event.id }, clock(event.at) + "  " + event.kind + ": " + move + event.reason
    + (event.message ? ": " + event.message : "") + (event.by ? " (" + event.by + ")" : ""));
}

async function followLog(id, signal) {
  const log = $("#log");
  log.textContent = "";
  try {
    const answer = await fetch("/v1/engines/" + id + "/logs?follow=true&tail=200", { signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value: piece } = await reader.read();
      if (done) break;
      const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
      log.append(piece);
      while (log.textContent.length > 400000) log.textContent = log.textContent.slice(-200000);
      if (atEnd) log.scrollTop = log.scrollHeight;
    }
  } catch (error) {
    if (error.name !== "AbortError") log.append("\n[the log cannot be followed: " + error.message + "]\n");
  }
}

async function show(id) {
  const engine = engines.get(id);
  const stop = new AbortController();
  open = { id, stop };
  $("#details-title").textContent = engine.name;
  $("#events").replaceChildren();
  facts(engine);
  $("#details").showModal();
  followLog(id, stop.signal);
  try {
    let cursor = "", events = [];
    do {
      const page = await ask("/v1/engines/" + id + "/events?limit=1000" + (cursor && "&cursor=" + cursor));
      events = events.concat(page.events);
      cursor = page.next_cursor;
    } while (cursor);
    if (open && open.id === id) $("#events").replaceChildren(...events.reverse().map(eventLine));
  } catch (error) {
    $("#events").replaceChildren(make("li", {}, error.message));
  }
}

// ---- what happens ----

function linked(text, gone) {
  $("#link").textContent = text;
  $("#link").className = gone ? "gone" : "";
  document.body.classList.toggle("stale", gone);
}

// The server may be there while its store is not: what it says of engines may be old then.
const LOOK_MS = 5000;
let storeAway = false;
async function lookAtStore() {
  try {
    const answer = await fetch("/readyz");
    const why = answer.ok ? "" : await answer.text();
    if (!answer.ok) {
      linked("The server is not ready, what is shown may be old: " + why, true);
    } else if (storeAway) {
      await load();
      linked("live", false);
    }
    storeAway = !answer.ok;
  } catch { /* the server is gone: the stream of events says so */ }
}

function follow() {
  const source = new EventSource("/v1/events");
  const happened = (message) => {
    const event = JSON.parse(message.data);
    if (open && open.id === event.engine && !$("#events [data-event='" + event.id + "']")) {
      $("#events").prepend(eventLine(event));
    }
    refresh(event.engine);
  };
  for (const kind of ["state", "policy", "health", "request"]) source.addEventListener(kind, happened);
  source.addEventListener("open", async () => {
    try {
      await load();
      linked("live", false);
    } catch (error) {
      say(error.message);
    }
  });
  source.addEventListener("end", () => linked("The server is stopping. What is shown may be old.", true));
  source.addEventListener("error", () => {
    linked("The server is gone. What is shown may be old; trying again…", true);
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  });
}

$("#new").addEventListener("click", openCreate);
$("#f-template").addEventListener("change", templateChosen);
$("#create form").addEventListener("submit", submitCreate);
document.querySelectorAll("[data-close]").forEach((button) =>
  button.addEventListener("click", () => button.closest("dialog").close()));
$("#details").addEventListener("close", () => {
  if (open) open.stop.abort();
  open = null;
});
setInterval(() => { if (!document.hidden) lookAtStore(); }, LOOK_MS);
follow();
