// cbor.mjs - as much of RFC 8949 as the adapter needs: it reads requests and answers, and writes
// requests of its own. Tags are kept as { tag, value }; integers beyond 2^53 are BigInt.

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  need(n) {
    if (this.at + n > this.bytes.length) throw new Error("CBOR ends too early");
    this.at += n;
    return this.at - n;
  }

  // The argument of a head; null when the length is not told.
  argument(low) {
    if (low < 24) return low;
    if (low === 24) return this.view.getUint8(this.need(1));
    if (low === 25) return this.view.getUint16(this.need(2));
    if (low === 26) return this.view.getUint32(this.need(4));
    if (low === 27) {
      const wide = this.view.getBigUint64(this.need(8));
      return wide <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(wide) : wide;
    }
    if (low === 31) return null;
    throw new Error("CBOR with a wrong head");
  }

  ends() {
    if (this.bytes[this.at] !== 0xff) return false;
    this.at += 1;
    return true;
  }

  // Strings in pieces, when the length is not told.
  string(length) {
    if (length !== null) {
      const at = this.need(length);
      return this.bytes.subarray(at, at + length);
    }
    const pieces = [];
    while (!this.ends()) pieces.push(this.string(this.argument(this.bytes[this.need(1)] & 31)));
    return Buffer.concat(pieces);
  }

  simple(low) {
    if (low === 20 || low === 21) return low === 21;
    if (low === 22) return null;
    if (low === 23) return undefined;
    if (low === 25) return half(this.view.getUint16(this.need(2)));
    if (low === 26) return this.view.getFloat32(this.need(4));
    if (low === 27) return this.view.getFloat64(this.need(8));
    throw new Error("CBOR with a wrong simple value");
  }

  read() {
    const head = this.bytes[this.need(1)];
    const major = head >> 5;
    if (major === 7) return this.simple(head & 31);
    const n = this.argument(head & 31);
    if (major === 0) return n;
    if (major === 1) return typeof n === "bigint" ? -1n - n : -1 - n;
    if (major === 2) return this.string(n);
    if (major === 3) return Buffer.from(this.string(n)).toString("utf8");
    if (major === 6) return { tag: n, value: this.read() };
    return major === 4 ? this.list(n) : this.map(n);
  }

  list(n) {
    const list = [];
    for (let i = 0; n === null ? !this.ends() : i < n; i++) list.push(this.read());
    return list;
  }

  map(n) {
    const map = {};
    for (let i = 0; n === null ? !this.ends() : i < n; i++) {
      const key = this.read();
      map[key] = this.read();
    }
    return map;
  }
}

function half(bits) {
  const fraction = bits & 0x3ff, exponent = (bits >> 10) & 31, sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function head(major, n) {
  if (n < 24) return Buffer.from([(major << 5) | n]);
  const out = Buffer.alloc(5);
  out[0] = (major << 5) | 26;
  out.writeUInt32BE(n, 1);
  return out;
}

export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.read();
  if (reader.at !== bytes.length) throw new Error("CBOR with something behind it");
  return value;
}

// Texts, whole numbers of 32 bits, null, lists, maps, and { tag, value }.
export function encode(value) {
  if (value === null) return Buffer.from([0xf6]);
  if (typeof value === "number") return value < 0 ? head(1, -1 - value) : head(0, value);
  if (typeof value === "string") {
    const text = Buffer.from(value, "utf8");
    return Buffer.concat([head(3, text.length), text]);
  }
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(encode)]);
  if (value.tag !== undefined) return Buffer.concat([head(6, value.tag), encode(value.value)]);
  const entries = Object.entries(value);
  return Buffer.concat([head(5, entries.length), ...entries.flat().map(encode)]);
}

// The same map with one more entry, without touching the bytes of the others.
export function withEntry(bytes, key, value) {
  const entry = Buffer.concat([encode(key), encode(value)]);
  const low = bytes[0] & 31;
  if (bytes[0] >> 5 !== 5) throw new Error("not a map");
  if (low === 31) return Buffer.concat([bytes.subarray(0, -1), entry, Buffer.from([0xff])]);
  if (low >= 23) throw new Error("a map of too many entries");
  return Buffer.concat([Buffer.from([bytes[0] + 1]), bytes.subarray(1), entry]);
}
