// What all parts of a page use: elements, numbers, and questions to this node.

/** An element by its id; the page has it. */
const byId = (id) => document.getElementById(id);

/** A new element. `properties` are its own (`className`, `textContent`, `onclick`, ...); children are elements or text. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const GROUPED = new Intl.NumberFormat("en");

/** 1234567 as 1,234,567. */
const grouped = (number) => GROUPED.format(number);

/** A number with its noun: "1 byte", "2 bytes". */
const counted = (number, noun) => `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;

/** Bytes in a unit that keeps it short: 1.23 MB. */
function brief(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(bytes) : bytes.toPrecision(3)} ${units[unit]}`;
}

/** Milliseconds as people say them. */
const lasting = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`);

/** Waits; ends early, without an error, when the signal says so. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** How long a node may take to answer what it knows. */
const PATIENCE_MS = 5000;

/**
 * Asks this node. Answers `{ status, headers, body }`, where the body is parsed if it is JSON and else its bytes; throws
 * if there is no answer.
 */
async function ask(path, { patience = PATIENCE_MS, signal, ...request } = {}) {
  const limit = AbortSignal.timeout(patience);
  const response = await fetch(path, {
    cache: "no-store",
    ...request,
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
  });
  const isJson = /\bjson\b/.test(response.headers.get("content-type") ?? "");
  const body = isJson ? await response.json() : new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, body };
}

/** What an answer that is an error says, for people. */
function complaint({ status, body }) {
  if (body?.title === undefined) return `The node answered with status ${status}.`;
  return `${body.title}: ${body.detail}.`;
}
