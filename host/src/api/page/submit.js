// Submits bytes and shows what became of them.

/** Submissions that stay on the page. */
const SUBMISSIONS_MAX = 20;
/** How long the first answer waits for the block, and how long each later question. */
const COMMIT_S = 4;
const RECEIPT_WAIT_S = 4;
const RETRY_MS = 1000;
/** Requests that wait at once. Browsers open six connections to a node, and the rest of the page needs some. */
const WAITING_REQUESTS_MAX = 2;

/** Runs the task when fewer than the maximum do. */
const inTurn = (() => {
  let free = WAITING_REQUESTS_MAX;
  const queue = [];
  return async (task) => {
    if (free > 0) free -= 1;
    else await new Promise((resolve) => queue.push(resolve));
    try {
      return await task();
    } finally {
      const next = queue.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
})();

/** The form and the list below it. */
class Submitter {
  #form = byId("submit-form");
  #text = byId("submit-text");
  #hint = byId("submit-hint");
  #list = byId("submissions");

  constructor() {
    this.#form.addEventListener("submit", (event) => (event.preventDefault(), this.#submit()));
    this.#form.addEventListener("input", () => this.#showHint());
    this.#text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
    this.#showHint();
  }

  /** The bytes that the form means; throws what is wrong. */
  #bytes() {
    const text = this.#text.value;
    if (byId("submit-as-hex").checked) return bytesOfHex(text);
    return new TextEncoder().encode(byId("submit-newline").checked ? `${text}\n` : text);
  }

  #showHint() {
    byId("submit-newline").disabled = byId("submit-as-hex").checked;
    this.#text.removeAttribute("aria-invalid");
    try {
      this.#hint.textContent = counted(this.#bytes().length, "byte");
    } catch (error) {
      this.#hint.textContent = error.message;
    }
  }

  #submit() {
    let bytes;
    try {
      bytes = this.#bytes();
      if (bytes.length === 0) throw new Error("There is nothing to submit.");
    } catch (error) {
      this.#hint.textContent = error.message;
      this.#text.setAttribute("aria-invalid", "true");
      this.#text.focus();
      return;
    }
    const submission = new Submission(bytes);
    // Those before stay as one line each.
    for (const details of this.#list.querySelectorAll("details")) details.open = false;
    this.#list.prepend(submission.element);
    while (this.#list.children.length > SUBMISSIONS_MAX) this.#list.lastElementChild.remove();
    submission.submit();
    this.#text.select();
  }
}

/** One submission, from its first request until its outcome is known. */
class Submission {
  #bytes;
  #hash;
  #began = performance.now();
  #state = make("strong");
  #details = make("div");
  element;

  constructor(bytes) {
    this.#bytes = bytes;
    this.#hash = sha256(bytes);
    const shown = make("code", { className: "excerpt" }, ...textNodes(bytes.subarray(0, 80)), bytes.length > 80 ? "…" : "");
    this.element = make("li", {}, make("details", { open: true }, make("summary", {}, this.#state, " ", shown), this.#details));
  }

  async submit() {
    this.#show("pending", "submitting", []);
    let answer;
    try {
      answer = await inTurn(() =>
        ask(`/v1/submit?wait=committed&timeout=${COMMIT_S}`, {
          method: "POST",
          headers: { "content-type": "application/octet-stream" },
          body: this.#bytes,
          patience: (COMMIT_S + 10) * 1000,
        }),
      );
    } catch {
      this.#show("pending", "no answer", ["The node did not answer, so the bytes may be on their way. Asking for the receipt by the hash."]);
      return this.#await();
    }
    const { status, body } = answer;
    if (status === 200) return this.#committed([body], body.duplicate);
    if (status === 202) {
      this.#show("pending", "pending", ["Accepted, and not in a block yet. Waiting for the receipt."]);
      return this.#await();
    }
    if (status === 422) return this.#rejected(body);
    // Only an answer of a node says that it did not take them; one of a proxy, or a defect, leaves it open.
    const mayBeTaken = status >= 500 && !(status === 503 && String(body?.type).startsWith("urn:dseq:problem:"));
    if (mayBeTaken) {
      this.#show("pending", `error ${status}`, [complaint(answer), "The bytes may be on their way all the same. Asking for the receipt by the hash.", this.#again()]);
      return this.#await();
    }
    this.#failed(answer);
  }

  /** Asks for the receipt until the outcome is known, through losses of the node. */
  async #await() {
    for (;;) {
      const path = `/v1/receipts/${this.#hash}?wait=${RECEIPT_WAIT_S}`;
      const patience = (RECEIPT_WAIT_S + 10) * 1000;
      const answer = await inTurn(() => ask(path, { patience })).catch(() => null);
      const state = answer?.body?.state;
      if (state === "committed") return this.#committed(answer.body.receipts, false);
      if (state === "rejected") return this.#rejected(answer.body);
      if (answer?.status === 404) return this.#unknown();
      if (!this.element.isConnected) return;
      if (state !== "pending") await pause(RETRY_MS);
    }
  }

  #committed(receipts, isDuplicate) {
    const took = lasting(performance.now() - this.#began);
    const note = isDuplicate ? ["These bytes were in the sequence before; this is their first place."] : [];
    this.#show("committed", isDuplicate ? "committed before" : `committed in ${took}`, [...note, ...receipts.map(receiptPairs)]);
  }

  #rejected({ plugin, codespace, code, detail }) {
    const rows = [
      ["by", plugin ? `plugin ${plugin}` : codespace || "the node"],
      ["code", String(code)],
      ["reason", detail],
      ["tx_hash", make("code", { textContent: this.#hash })],
    ];
    this.#show("rejected", "rejected", [pairs(rows)]);
  }

  #unknown() {
    const words = "This node does not know these bytes: they did not get in, or only other nodes have them so far.";
    this.#show("failed", "unknown", [words, this.#again()]);
  }

  #failed(answer) {
    const after = answer.headers.get("retry-after");
    const later = after === null ? "" : ` Try again after ${after} s.`;
    this.#show("failed", "not taken", [complaint(answer) + later, this.#again()]);
  }

  #again() {
    return make("button", { type: "button", textContent: "Submit again", onclick: () => ((this.#began = performance.now()), this.submit()) });
  }

  #show(state, words, details) {
    this.element.className = state;
    this.#state.textContent = words;
    this.#details.replaceChildren(...details.map((detail) => (typeof detail === "string" ? make("p", { textContent: detail }) : detail)));
  }
}

/** A receipt; its places are links to the look-up. */
function receiptPairs({ index, offset, length, height, tx_hash: hash, blake3 }) {
  const link = (key, value) => make("a", { href: `#${key}=${value}`, textContent: value });
  return pairs([
    ["index", link("index", index)],
    ["offset", link("offset", offset)],
    ["length", counted(length, "byte")],
    ["height", link("height", height)],
    ["tx_hash", make("a", { href: `#hash=${hash}` }, make("code", { textContent: hash }))],
    ["blake3", make("code", { textContent: blake3 })],
  ]);
}
