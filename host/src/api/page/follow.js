// Follows the records of this node: one stream, which begins again where it was cut.

/** Bytes of a record that are kept to be shown. */
const SHOWN_BYTES_MAX = 512;
/** How much of what came before is shown at first. */
const FIRST_RECORDS = 60;
const FIRST_BYTES = 32 << 10;
/** Beyond this many bytes that were missed, the newest are shown and not all that came meanwhile. */
const MISSED_BYTES_MAX = 1 << 20;
/** A stream that is silent for so long, while the node has more records, is begun again. */
const SILENT_MS = 5000;

/** A page that nobody has seen for so long follows no more until it is seen: browsers open six connections to a node. */
const UNSEEN_MS = 60_000;

/** Length, index and entry of a record, before its bytes. */
const FRAME_HEAD_BYTES = 100;

/**
 * Reads frames as `/v1/records` sends them (`application/octet-stream`): u32 length of what follows, u64 index, the entry
 * of 88 bytes, the record. Keeps the beginning of each record only, however long it is.
 */
class FrameReader {
  #head = new Uint8Array(FRAME_HEAD_BYTES);
  #headFilled = 0;
  #record = null;
  #left = 0;

  /** Calls `take` with each record that ends in these bytes. */
  read(chunk, take) {
    let at = 0;
    while (at < chunk.length) {
      if (this.#record === null) {
        const taken = Math.min(FRAME_HEAD_BYTES - this.#headFilled, chunk.length - at);
        this.#head.set(chunk.subarray(at, at + taken), this.#headFilled);
        this.#headFilled += taken;
        at += taken;
        this.#skipEmpty();
        if (this.#headFilled < FRAME_HEAD_BYTES) continue;
        this.#begin();
      }
      const taken = Math.min(this.#left, chunk.length - at);
      const { shown, filled } = this.#record;
      const kept = Math.min(taken, shown.length - filled);
      if (kept > 0) {
        shown.set(chunk.subarray(at, at + kept), filled);
        this.#record.filled += kept;
      }
      this.#left -= taken;
      at += taken;
      if (this.#left > 0) return;
      take(this.#record);
      this.#record = null;
    }
  }

  /** A frame of length 0 only says that the node is there. */
  #skipEmpty() {
    const view = new DataView(this.#head.buffer);
    while (this.#headFilled >= 4 && view.getUint32(0, true) === 0) {
      this.#head.copyWithin(0, 4, this.#headFilled);
      this.#headFilled -= 4;
    }
  }

  #begin() {
    const view = new DataView(this.#head.buffer);
    const number = (at) => Number(view.getBigUint64(at, true));
    const length = number(20);
    if (view.getUint32(0, true) !== FRAME_HEAD_BYTES - 4 + length) throw new Error("a frame is not as long as its record");
    const shown = new Uint8Array(Math.min(length, SHOWN_BYTES_MAX));
    this.#record = { index: number(4), offset: number(12), length, height: number(28), shown, filled: 0 };
    this.#headFilled = 0;
    this.#left = length;
  }
}

/**
 * Follows from near the end on. `sink.record` gets each record in order, `sink.skipped` what was left out and
 * `sink.behind` that the node has less than was seen already.
 */
class Follower {
  #sink;
  #stream = null;
  #heard = 0;
  /** Index of the next record, and the offset at which it begins; null before the first answer. */
  next = null;

  constructor(sink) {
    this.#sink = sink;
  }

  /** Follows for ever. */
  async run() {
    this.#watchVisibility();
    for (let failures = 0; ; failures += 1) {
      await visible();
      const began = performance.now();
      this.#stream = new AbortController();
      try {
        await this.#follow(this.#stream.signal);
      } catch {
        // Whether the node is there is found, and said, by those who ask for its state.
      }
      if (performance.now() - began > 10_000) failures = 0;
      this.#stream = new AbortController();
      await pause(Math.min(2000, 100 * 2 ** failures) * (0.75 + Math.random() / 2), this.#stream.signal);
    }
  }

  /** Begins again at once: the node has just come back. */
  again() {
    this.#stream?.abort();
  }

  /** Begins again if the stream is silent although the node has more. */
  notice(records) {
    const isSilent = performance.now() - this.#heard > SILENT_MS;
    if (this.next !== null && records > this.next.index && isSilent) this.again();
  }

  #watchVisibility() {
    let timer = null;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => this.again(), UNSEEN_MS);
    });
  }

  async #follow(signal) {
    const { status, body } = await ask("/v1/status", { signal });
    if (status !== 200) throw new Error("no status");
    if (this.next !== null && body.records < this.next.index) {
      this.#sink.behind(body.records, this.next.index);
      throw new Error("behind");
    }
    await this.#place(body, signal);
    const response = await fetch(`/v1/records?from=${this.next.index}&live=true`, {
      headers: { accept: "application/octet-stream" },
      cache: "no-store",
      signal,
    });
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    this.#heard = performance.now();
    const [reader, frames] = [response.body.getReader(), new FrameReader()];
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.#heard = performance.now();
      frames.read(value, (record) => this.#take(record));
    }
  }

  #take(record) {
    if (record.index !== this.next.index) throw new Error("a record is missing");
    this.next = { index: record.index + 1, offset: record.offset + record.length };
    this.#sink.record(record);
  }

  /** Decides where to go on: where it was cut, or near the end. */
  async #place({ records, length }, signal) {
    if (this.next !== null && length - this.next.offset <= MISSED_BYTES_MAX) return;
    const last = this.next;
    const first = await nearEnd(records, length, signal);
    if (last !== null && first.index <= last.index) return;
    this.next = first;
    if (last !== null) this.#sink.skipped(first.offset - last.offset, first.index - last.index, last.index);
  }
}

/** Waits until the page can be seen. */
function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", function seen() {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", seen);
      resolve();
    });
  });
}

/** A record near the end, with few bytes after it: its index and offset. */
async function nearEnd(records, length, signal) {
  if (records === 0) return { index: 0, offset: 0 };
  const place = async (query) => {
    const { status, body } = await ask(`/v1/receipts?${query}`, { signal });
    if (status !== 200) throw new Error("no receipt");
    return body.receipts[0];
  };
  const byCount = await place(`index=${Math.max(0, records - FIRST_RECORDS)}`);
  if (length - byCount.offset <= FIRST_BYTES) return byCount;
  const byBytes = await place(`offset=${length - FIRST_BYTES}`);
  // The record with that byte may be long itself; the last one is always shown.
  const next = byBytes.index + 1;
  return next >= records ? byBytes : place(`index=${next}`);
}
