// The live tail: the newest records, as text or as hexadecimal.

/** Records that wait to be shown. More that come meanwhile take the place of the oldest, which the tail says. */
const WAITING_MAX = 100;
/** Lines in the tail; older ones go. */
const LINES_MAX = 400;
/** The least time between two paints, and how many times longer than the last paint it is at least. */
const PAINT_EVERY_MS = 100;
const PAINT_SHARE = 8;

/** The tail. Whatever the traffic, painting takes a bounded part of the time, and what is not shown is counted. */
class Tail {
  #list = byId("lines");
  #resume = byId("resume");
  #empty = byId("empty");
  #waiting = [];
  #skipped = null;
  #skippedBytes = 0;
  #lines = [];
  #isHex = false;
  #isPaused = false;
  #isAtEnd = true;
  #isPlanned = false;
  #lastPaint = { at: 0, took: 0 };
  #held = { bytes: 0, records: 0 };

  constructor() {
    this.#list.addEventListener("scroll", () => this.#scrolled());
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#resume.addEventListener("click", () => this.resume());
    byId("pause").addEventListener("click", () => (this.#isPaused ? this.resume() : this.pause()));
    for (const choice of document.querySelectorAll("input[name=form]")) {
      choice.addEventListener("change", () => this.show(choice.value === "hex"));
    }
    NARROW.addEventListener("change", () => this.#repaint());
    new ResizeObserver(() => this.#isHeld || this.#toEnd()).observe(this.#list);
  }

  /** Takes the next record. */
  record(record) {
    this.#waiting.push(record);
    if (this.#waiting.length > 2 * WAITING_MAX) this.#drop();
    if (this.#isHeld) {
      this.#held.bytes += record.length;
      this.#held.records += 1;
    }
    this.#plan();
  }

  /** Takes that records were left out. */
  skipped(bytes, records, from) {
    this.#drop(0);
    this.#skip(bytes, records, from);
    this.#plan();
  }

  /** Shows hexadecimal, or text. */
  show(isHex) {
    this.#isHex = isHex;
    byId(isHex ? "as-hex" : "as-text").checked = true;
    this.#repaint();
  }

  pause() {
    this.#isPaused = true;
    this.#showState();
  }

  resume() {
    this.#isPaused = false;
    this.#isAtEnd = true;
    this.#toEnd();
    this.#held = { bytes: 0, records: 0 };
    this.#showState();
    this.#plan();
  }

  get #isHeld() {
    return this.#isPaused || !this.#isAtEnd;
  }

  /** Leaves out all but the newest that wait. */
  #drop(kept = WAITING_MAX) {
    const dropped = this.#waiting.splice(0, Math.max(0, this.#waiting.length - kept));
    if (dropped.length === 0) return;
    this.#skip(dropped.reduce((sum, { length }) => sum + length, 0), dropped.length, dropped[0].index);
  }

  #skip(bytes, records, from) {
    this.#skippedBytes += bytes;
    this.#skipped ??= { bytes: 0, records: 0, from };
    this.#skipped.bytes += bytes;
    this.#skipped.records += records;
  }

  #plan() {
    if (this.#isHeld) this.#planned(() => this.#showState());
    else this.#planned(() => this.#paint());
  }

  /** Runs it in a frame that is not too soon after the last one. */
  #planned(paint) {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    const { at, took } = this.#lastPaint;
    const wait = at + Math.max(PAINT_EVERY_MS, PAINT_SHARE * took) - performance.now();
    const frame = () =>
      requestAnimationFrame(() => {
        const began = performance.now();
        this.#isPlanned = false;
        paint();
        const ended = performance.now();
        this.#lastPaint = { at: ended, took: ended - began };
      });
    if (wait > 0) setTimeout(frame, wait);
    else frame();
  }

  #paint() {
    if (this.#isHeld) return;
    this.#drop();
    const fresh = this.#skipped === null ? [] : [this.#skipped];
    fresh.push(...this.#waiting);
    [this.#waiting, this.#skipped] = [[], null];
    if (fresh.length === 0) return;
    this.#empty.hidden = true;
    this.#lines.push(...fresh);
    this.#align(fresh.at(-1));
    this.#list.append(...fresh.map((line) => this.#line(line)));
    byId("skipped").hidden = this.#skippedBytes === 0;
    byId("skipped").textContent = `${brief(this.#skippedBytes)} skipped so far`;
    const over = this.#lines.length - LINES_MAX;
    if (over > 0) {
      this.#lines.splice(0, over);
      for (let i = 0; i < over; i += 1) this.#list.firstElementChild.remove();
    }
    this.#toEnd();
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** Makes the columns as wide as the newest numbers. */
  #align({ index, height, offset }) {
    const style = this.#list.parentElement.style;
    for (const [name, number] of Object.entries({ index, height, offset })) {
      if (number !== undefined) style.setProperty(`--${name}-digits`, String(number).length);
    }
  }

  #repaint() {
    this.#list.replaceChildren(...this.#lines.map((line) => this.#line(line)));
    this.#list.classList.toggle("hex", this.#isHex);
    if (!this.#isHeld) this.#toEnd();
  }

  #line(line) {
    if (line.records !== undefined) {
      const { bytes, records, from } = line;
      const text = `skipped ${counted(bytes, "byte")} in ${counted(records, "record")}`;
      return make("li", { className: "skipped" }, text, " ", make("a", { href: `#index=${from}`, textContent: "look up" }));
    }
    const { index, offset, length, height, shown } = line;
    const title = `record ${index} at offset ${offset}, ${counted(length, "byte")}, in block ${height}`;
    const link = make("a", { href: `#index=${index}`, textContent: index, title });
    const bytes = this.#isHex
      ? make("pre", { textContent: hexDump(shown, offset, dumpWidth()) })
      : make("code", {}, ...textNodes(shown));
    if (length > shown.length) bytes.append(make("b", { textContent: ` … ${counted(length - shown.length, "byte")} more` }));
    return make("li", {}, link, make("span", { textContent: height, title }), make("span", { textContent: offset, title }), bytes);
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 8;
    if (isAtEnd === this.#isAtEnd) return;
    if (isAtEnd && !this.#isPaused) return this.resume();
    this.#isAtEnd = isAtEnd;
    this.#showState();
  }

  #showState() {
    const { bytes, records } = this.#held;
    byId("pause").setAttribute("aria-pressed", this.#isPaused);
    this.#resume.hidden = !this.#isHeld;
    const since = records === 0 ? "nothing new" : `${counted(records, "new record")}, ${brief(bytes)}`;
    this.#resume.textContent = `${this.#isPaused ? "Paused" : "Holding"}: ${since} — go to the end`;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      " ": () => (this.#isPaused ? this.resume() : this.pause()),
      End: () => this.resume(),
      h: () => this.show(true),
      t: () => this.show(false),
    };
    const action = actions[event.key];
    if (action === undefined || event.target !== this.#list) return;
    event.preventDefault();
    action();
  }
}
