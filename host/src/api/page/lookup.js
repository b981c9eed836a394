// Looks up records by offset, index or hash, and the records of a block. What is shown stands in the page's address.

/** Bytes of a record that are shown. */
const PREVIEW_BYTES_MAX = 4096;
/** Records of a block in one list; more come on request. */
const BLOCK_RECORDS_MAX = 200;
const KINDS = ["offset", "index", "height", "hash"];

/** The form, and what was found. */
class Lookup {
  #form = byId("lookup-form");
  #kind = byId("lookup-kind");
  #value = byId("lookup-value");
  #found = byId("found");
  #asked = 0;

  constructor() {
    this.#form.addEventListener("submit", (event) => (event.preventDefault(), this.#submitted()));
    this.#value.addEventListener("input", () => {
      if (/^\s*(0x)?[0-9a-f]{64}\s*$/i.test(this.#value.value)) this.#kind.value = "hash";
    });
    addEventListener("hashchange", () => this.#follow(true));
    this.#follow(false);
  }

  #submitted() {
    const value = this.#value.value.trim().replace(/^0x/i, "").replaceAll(",", "").toLowerCase();
    const wanted = `#${this.#kind.value}=${encodeURIComponent(value)}`;
    if (location.hash === wanted) this.#follow(false);
    else location.hash = wanted;
  }

  /** Shows what the page's address asks for. */
  #follow(moves) {
    const [kind, value] = location.hash.slice(1).split("=");
    if (!KINDS.includes(kind) || value === undefined) return;
    this.#kind.value = kind;
    try {
      this.#value.value = decodeURIComponent(value);
    } catch {
      this.#value.value = value;
    }
    this.#look(kind, this.#value.value);
    if (moves) this.#found.closest("section").scrollIntoView({ block: "nearest" });
  }

  async #look(kind, value) {
    this.#asked += 1;
    const asked = this.#asked;
    const isDigits = /^[0-9]{1,20}$/.test(value);
    if (kind === "hash" ? !/^[0-9a-f]{64}$/.test(value) : !isDigits) {
      return this.#say(kind === "hash" ? "A hash is 64 hexadecimal digits." : `The ${kind} is a whole number.`);
    }
    this.#found.setAttribute("aria-busy", "true");
    let parts;
    try {
      parts = await (kind === "height" ? this.#block(value) : this.#record(kind, value));
    } catch {
      parts = [make("p", { textContent: "The node does not answer." })];
    }
    // Another look-up may have begun meanwhile.
    if (asked !== this.#asked) return;
    this.#found.removeAttribute("aria-busy");
    this.#found.replaceChildren(...parts);
  }

  #say(text) {
    this.#found.replaceChildren(make("p", { textContent: text }));
  }

  async #record(kind, value) {
    const path = kind === "hash" ? `/v1/receipts/${value}` : `/v1/receipts?${kind}=${value}`;
    const answer = await ask(path);
    if (answer.status !== 200) return [make("p", { textContent: complaint(answer) })];
    const { state, receipts } = answer.body;
    if (state === "pending") return [make("p", { textContent: "Accepted, and not in a block yet." })];
    if (state === "rejected") {
      const { plugin, code, detail } = answer.body;
      return [make("p", { textContent: `Rejected by ${plugin ? `plugin ${plugin}` : "the node"} with code ${code}: ${detail}` })];
    }
    if (receipts.length === 1) return recordParts(receipts[0]);
    const words = `These bytes are in the sequence ${receipts.length} times.`;
    return [make("p", { textContent: words }), recordTable(receipts), ...(await recordParts(receipts[0]))];
  }

  async #block(height) {
    const answer = await ask(`/v1/receipts?height=${height}&limit=${BLOCK_RECORDS_MAX}`);
    if (answer.status !== 200) return [make("p", { textContent: complaint(answer) })];
    const { receipts, next } = answer.body;
    const words = next === null ? counted(receipts.length, "record") : `more than ${counted(receipts.length, "record")}`;
    const title = make("p", { textContent: `Block ${grouped(Number(height))} has ${words}.` });
    if (receipts.length === 0) return [title];
    const table = recordTable(receipts);
    return next === null ? [title, table] : [title, table, moreButton(table, receipts[0].height, next)];
  }
}

/** A button that adds the next records of a block to its table, as long as there are some. */
function moreButton(table, height, from) {
  const button = make("button", { type: "button", textContent: "Show more" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    const answer = await ask(`/v1/receipts?from=${from}&limit=${BLOCK_RECORDS_MAX}`).catch(() => null);
    button.disabled = false;
    if (answer?.status !== 200) return;
    const { receipts, next } = answer.body;
    const same = receipts.filter((receipt) => receipt.height === height);
    table.tBodies[0].append(...same.map(recordRow));
    if (next === null || same.length < receipts.length) button.remove();
    else from = next;
  });
  return button;
}

const recordRow = ({ index, offset, length, tx_hash: hash }) =>
  make(
    "tr",
    {},
    make("td", {}, make("a", { href: `#index=${index}`, textContent: index })),
    make("td", { textContent: offset }),
    make("td", { textContent: length }),
    make("td", {}, make("code", { textContent: `${hash.slice(0, 12)}…`, title: hash })),
  );

function recordTable(receipts) {
  const head = make("tr", {}, ...["index", "offset", "bytes", "tx_hash"].map((textContent) => make("th", { scope: "col", textContent })));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...receipts.map(recordRow)));
}

/** A record: its receipt, the beginning of its bytes, and a way to save them all. */
async function recordParts(receipt) {
  const { index, offset, length } = receipt;
  const shown = Math.min(length, PREVIEW_BYTES_MAX);
  const answer = await range(offset, shown);
  if (answer === null) return [receiptPairs(receipt), make("p", { textContent: "The bytes cannot be read." })];
  const isHex = byId("as-hex").checked;
  const bytes = isHex
    ? make("pre", { className: "dump", textContent: hexDump(answer, offset, 8) })
    : make("pre", { className: "dump text" }, ...textNodes(answer));
  const more = length > shown ? make("p", { textContent: `The first ${grouped(shown)} of ${counted(length, "byte")}.` }) : null;
  const save = make("button", { type: "button", textContent: "Save its bytes", onclick: () => saveRecord(index, offset, length) });
  const parts = [receiptPairs(receipt), bytes, more, make("div", { className: "row" }, stepTo(index - 1, "Previous"), stepTo(index + 1, "Next"), save)];
  return parts.filter((part) => part !== null);
}

/** A link to a neighbour. */
function stepTo(index, words) {
  if (index < 0) return "";
  return make("a", { href: `#index=${index}`, textContent: words });
}

/** Bytes of the sequence, or null. */
async function range(offset, length, patience) {
  const last = offset + length - 1;
  const { status, body } = await ask("/v1/sequence", { headers: { range: `bytes=${offset}-${last}` }, patience });
  return status === 206 || (status === 200 && body.length === length) ? body : null;
}

async function saveRecord(index, offset, length) {
  const bytes = await range(offset, length, 60_000).catch(() => null);
  if (bytes === null) return;
  const href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  make("a", { href, download: `record-${index}.bin` }).click();
  URL.revokeObjectURL(href);
}
