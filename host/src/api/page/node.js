// How the node is: its figures, its health, the rules it enforces, and whether it answers at all.

const STATUS_EVERY_MS = 1000;
const HEALTH_EVERY_MS = 2000;
/** The same for a page that nobody sees. */
const HIDDEN_EVERY_MS = 10_000;
/** Samples of the rate that the curve shows, one for each second. */
const RATE_SAMPLES = 90;

const MARKS = { ok: "✓", unknown: "?", warning: "!", failed: "✗" };
const AGREEMENT = { ok: "peers agree", unknown: "agreement unknown", warning: "peers differ", failed: "differs from its peers" };

/** What this node says of itself. `heard` gets each status, and `returned` is called when it answers again. */
class NodeState {
  #heard;
  #returned;
  #isThere = null;
  #lostAt = 0;
  #figures = { length: -1, records: -1, height: -1 };
  #isPlanned = false;
  #rates = [];
  #last = null;
  #health = "";
  #pipeline = "";
  #version = null;

  constructor({ heard, returned }) {
    this.#heard = heard;
    this.#returned = returned;
    byId("host").textContent = location.host;
    document.title = `${location.host} · dseq`;
    setInterval(() => this.#showLoss(), 1000);
  }

  /** Asks for ever. */
  run() {
    this.#repeat(STATUS_EVERY_MS, () => this.#askStatus());
    this.#repeat(HEALTH_EVERY_MS, () => this.#askHealth());
  }

  async #repeat(every, action) {
    for (;;) {
      await action();
      await pause(document.hidden ? HIDDEN_EVERY_MS : every);
    }
  }

  /** Shows figures that are at least as new as those before. */
  advance(length, records, height) {
    this.#figures = { length, records, height };
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    requestAnimationFrame(() => {
      this.#isPlanned = false;
      for (const [name, value] of Object.entries(this.#figures)) byId(name).textContent = grouped(value);
    });
  }

  async #askStatus() {
    let status;
    try {
      status = await ask("/v1/status");
    } catch {
      return this.#lost();
    }
    if (status.status !== 200) return this.#lost();
    const { length, records, height, pipeline, app_hash: appHash } = status.body;
    if (records >= this.#figures.records || length < this.#figures.length) this.advance(length, records, height);
    byId("app-hash").textContent = appHash;
    this.#measure(length, records);
    this.#found();
    this.#heard(status.body);
    if (pipeline !== this.#pipeline) await this.#askPipeline(pipeline);
  }

  #lost() {
    if (this.#isThere === false) return;
    this.#isThere = false;
    this.#lostAt = Date.now();
    this.#last = null;
    document.body.classList.add("lost");
    byId("link").textContent = "no answer";
    this.#showLoss();
  }

  #showLoss() {
    const banner = byId("banner");
    if (this.#isThere !== false) return;
    const time = new Date(this.#lostAt).toLocaleTimeString("en-GB");
    banner.hidden = false;
    // Said once to those who listen; what counts up is for those who look.
    if (byId("banner-text").textContent === "") {
      byId("banner-text").textContent = `The node has not answered since ${time}. What is below is what it said last; this page goes on by itself when the node is back.`;
    }
    byId("banner-since").textContent = lasting(Date.now() - this.#lostAt);
  }

  #found() {
    const wasThere = this.#isThere;
    if (wasThere === true) return;
    this.#isThere = true;
    document.body.classList.remove("lost");
    byId("link").textContent = "live";
    byId("banner").hidden = true;
    byId("banner-text").textContent = "";
    this.#checkVersion();
    if (wasThere === false) this.#returned();
  }

  /** Says so if the node has another page than this one by now. */
  async #checkVersion() {
    const answer = await ask("/", { method: "HEAD", headers: { accept: "text/html" } }).catch(() => null);
    const version = answer?.headers.get("etag") ?? null;
    this.#version ??= version;
    byId("upgraded").hidden = version === null || version === this.#version;
  }

  #measure(length, records) {
    const now = performance.now();
    if (this.#last !== null) {
      const seconds = (now - this.#last.at) / 1000;
      const rate = Math.max(0, (length - this.#last.length) / seconds);
      const recordRate = Math.max(0, (records - this.#last.records) / seconds);
      byId("rate").textContent = `${brief(rate)}/s`;
      byId("record-rate").textContent = `${counted(Math.round(recordRate), "record")}/s`;
      this.#rates = [...this.#rates, rate].slice(-RATE_SAMPLES);
      this.#drawRates();
    }
    this.#last = { at: now, length, records };
  }

  #drawRates() {
    const highest = Math.max(...this.#rates, 1);
    const first = RATE_SAMPLES - this.#rates.length;
    const points = this.#rates.map((rate, i) => `${first + i},${(28 - (rate / highest) * 26).toFixed(1)}`);
    byId("curve").setAttribute("points", points.join(" "));
    byId("area").setAttribute("points", `${first},29 ${points.join(" ")} ${RATE_SAMPLES - 1},29`);
    byId("curve-title").textContent = `Bytes a second in the last ${RATE_SAMPLES} s; at most ${brief(highest)}/s`;
  }

  async #askHealth() {
    let answer;
    try {
      answer = await ask("/health");
    } catch {
      return;
    }
    const said = JSON.stringify(answer.body);
    if (said === this.#health || !Array.isArray(answer.body.checks)) return;
    this.#health = said;
    const { checks } = answer.body;
    const having = (state) => checks.filter((check) => check.state === state).length;
    const [failed, warnings] = [having("failed"), having("warning")];
    const words = failed > 0 ? `not ready: ${counted(failed, "check")} failed` : warnings > 0 ? counted(warnings, "warning") : "healthy";
    showChip("health", failed > 0 ? "failed" : warnings > 0 ? "warning" : "ok", words);
    const agreement = checks.find(({ name }) => name === "agreement");
    if (agreement) showChip("agreement", agreement.state, AGREEMENT[agreement.state]);
    byId("checks").replaceChildren(...checks.map(checkItem));
  }

  async #askPipeline(id) {
    const answer = await ask("/v1/pipeline").catch(() => null);
    const isKnown = answer?.status === 200;
    if (isKnown) this.#pipeline = id;
    if (answer === null) return;
    byId("pipeline").replaceChildren(...(isKnown ? pipelineParts(answer.body) : [make("p", { textContent: complaint(answer) })]));
  }
}

function showChip(id, state, words) {
  const chip = byId(id);
  chip.className = `chip ${state}`;
  chip.textContent = `${MARKS[state]} ${words}`;
  chip.hidden = false;
}

function checkItem({ name, state, reason }) {
  const mark = make("span", { className: "mark", textContent: MARKS[state] });
  mark.setAttribute("aria-hidden", "true");
  const said = state === "ok" ? null : make("span", { className: "reason", textContent: `${state}${reason ? `: ${reason}` : ""}` });
  return make("li", { className: state }, mark, make("span", { textContent: name }), said);
}

/** The rules: the way of a transaction through the plugins, and the limits. */
function pipelineParts({ pipeline, engine, limits, plugins }) {
  const steps = plugins.map(({ name, sha256, params }) =>
    make(
      "li",
      {},
      make("strong", { textContent: name }),
      pairs([["sha256", make("code", { textContent: sha256 })]]),
      paramsElement(params),
    ),
  );
  const none = make("p", { textContent: "No plugins: every transaction is accepted unchanged." });
  const bounds = pairs([
    ["transaction", `${counted(limits.tx_bytes_max, "byte")} at most`],
    ["record", `${counted(limits.record_bytes_max, "byte")} at most`],
    ["memory", `${counted(limits.memory_bytes_max, "byte")} for each plugin`],
    ["fuel", `${grouped(limits.fuel_max)} for each plugin and transaction`],
    ["pipeline id", make("code", { textContent: pipeline })],
    ["engine id", make("code", { textContent: engine })],
  ]);
  return [plugins.length === 0 ? none : make("ol", { className: "plugins" }, ...steps), bounds];
}

/** Params in one line if they are short. */
function paramsElement(params) {
  const short = JSON.stringify(params);
  if (short === "{}") return make("p", { className: "note", textContent: "no params" });
  return make("pre", { className: "params", textContent: short.length <= 48 ? short : JSON.stringify(params, null, 2) });
}

/** A list of names with values, each of them text or an element. */
function pairs(rows) {
  return make("dl", { className: "pairs" }, ...rows.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", {}, value)]));
}
