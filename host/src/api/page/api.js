// Shows the description of the routes that the node itself gives.

/** Text in which `words` between backticks are code. */
const prose = (text = "") => text.split("`").map((part, i) => (i % 2 === 1 ? make("code", { textContent: part }) : part));

/** The description's schemas, by name. */
let schemas = {};

const resolve = (schema) => (schema?.$ref ? schemas[schema.$ref.split("/").at(-1)] : schema);

/** The one schema that a value has if it is not null, or the schema itself. */
function unlessNull(schema) {
  const choices = (schema?.oneOf ?? schema?.anyOf ?? []).filter((choice) => choice.type !== "null");
  return choices.length === 1 ? choices[0] : schema;
}

/** A type in a few words. */
function typeWords(schema = {}) {
  const name = schema.$ref?.split("/").at(-1);
  const resolved = resolve(schema);
  if (name === "Hash") return "hash";
  if (resolved.enum) return resolved.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (resolved.oneOf ?? resolved.anyOf) return (resolved.oneOf ?? resolved.anyOf).map(typeWords).join(" | ");
  if (resolved.allOf) return "object";
  const types = [resolved.type ?? "any"].flat().map((type) => (type === "array" ? `array of ${typeWords(resolved.items)}` : type));
  return types.join(" | ");
}

/** All properties of an object, those of its parts too. */
function propertiesOf(schema) {
  const resolved = resolve(schema) ?? {};
  const parts = [...(resolved.allOf ?? []).map(propertiesOf), Object.entries(resolved.properties ?? {}).map(([name, of]) => ({
    name,
    of,
    isRequired: (resolved.required ?? []).includes(name),
  }))];
  return parts.flat();
}

/** The fields of a schema, with those of the objects in it; null if it has none. */
function fieldList(schema) {
  const inner = unlessNull(resolve(unlessNull(schema)));
  const choices = inner?.oneOf ?? inner?.anyOf;
  if (choices) {
    const lists = choices.map(fieldList).filter((list) => list !== null);
    return lists.length === 0 ? null : make("div", {}, ...lists.flatMap((list, i) => (i === 0 ? [list] : [make("p", { className: "note", textContent: "or" }), list])));
  }
  const item = inner?.type === "array" ? inner.items : inner;
  const fields = propertiesOf(item);
  if (fields.length === 0) return null;
  return make(
    "ul",
    { className: "fields" },
    ...fields.map(({ name, of, isRequired }) => {
      const isHash = typeWords(of) === "hash";
      const words = of.description ?? (isHash ? undefined : resolve(unlessNull(of))?.description);
      return make(
        "li",
        {},
        make("code", { textContent: name }),
        " ",
        make("span", { className: "type", textContent: typeWords(of) }),
        isRequired ? "" : make("em", { textContent: " (not always)" }),
        words ? " — " : "",
        ...prose(words),
        fieldList(of) ?? "",
      );
    }),
  );
}

function parameterItem({ name, in: place, required, description, schema }) {
  return make(
    "li",
    {},
    make("code", { textContent: name }),
    " ",
    make("span", { className: "type", textContent: typeWords(unlessNull(schema)) }),
    make("em", { textContent: ` in the ${place}${required ? "" : ", optional"}` }),
    " — ",
    ...prose(description),
  );
}

/** What a body may be: its media types and fields. */
function contentParts(content = {}) {
  return Object.entries(content).flatMap(([mediaType, { schema }]) => [
    make("p", { className: "note" }, make("code", { textContent: mediaType })),
    mediaType === "application/problem+json" ? null : fieldList(schema),
  ]);
}

function responsePart([status, { description, content, headers }]) {
  const names = Object.entries(headers ?? {}).map(([name, { description: words }]) =>
    make("li", {}, make("code", { textContent: name }), make("em", { textContent: " header" }), " — ", ...prose(words)),
  );
  return make(
    "div",
    { className: `response${status.startsWith("2") ? " good" : ""}` },
    make("p", {}, make("strong", { textContent: status }), " ", ...prose(description)),
    names.length === 0 ? null : make("ul", { className: "fields" }, ...names),
    ...contentParts(content),
  );
}

/** A command that asks for the route. */
function curlLine(method, path, body) {
  const data = body === undefined ? "" : " --data-binary @FILE";
  const type = Object.keys(body?.content ?? {})[0];
  const header = type === undefined ? "" : ` -H 'Content-Type: ${type}'`;
  return `curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`}${header}${data} '${location.origin}${path.replaceAll(/\{(\w+)\}/g, (_, name) => name.toUpperCase())}'`;
}

function operationPart({ id, method, path, operation }) {
  const { summary, description, parameters = [], requestBody, responses } = operation;
  const section = (title, ...parts) => [make("h3", { textContent: title }), ...parts];
  return make(
    "article",
    { id },
    make("h2", {}, make("span", { className: `method ${method}`, textContent: method.toUpperCase() }), path),
    make("p", {}, ...prose(summary)),
    description ? make("p", {}, ...prose(description)) : null,
    make("pre", { textContent: curlLine(method, path, requestBody) }),
    ...(parameters.length === 0 ? [] : section("Parameters", make("ul", { className: "fields" }, ...parameters.map(parameterItem)))),
    ...(requestBody === undefined ? [] : section("Body", make("p", {}, ...prose(requestBody.description)), ...contentParts(requestBody.content))),
    ...section("Answers", ...Object.entries(responses).filter(([status]) => status !== "default").map(responsePart)),
  );
}

/** What any route may answer, said once. */
function problemsPart(operations) {
  const any = operations.find(({ operation }) => operation.responses.default)?.operation.responses.default;
  if (any === undefined) return null;
  return make(
    "article",
    { id: "problems" },
    make("h2", { textContent: "Problems" }),
    make("p", {}, "Any request may be answered with one of these in place of what its route says. ", ...prose(any.description)),
    make("p", { className: "note" }, make("code", { textContent: "application/problem+json" })),
    fieldList({ $ref: "#/components/schemas/Problem" }) ?? "",
  );
}

async function show() {
  const main = byId("operations");
  let description;
  try {
    ({ body: description } = await ask("/openapi.json"));
  } catch {
    main.replaceChildren(make("p", { textContent: "The node does not answer. Reload the page to try again." }));
    return;
  } finally {
    main.removeAttribute("aria-busy");
  }
  schemas = description.components.schemas;
  const operations = Object.entries(description.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ id: operation.operationId, method, path, operation })),
  );
  // What one reads and writes comes first, then what operators ask.
  operations.sort((a, b) => b.path.startsWith("/v1/") - a.path.startsWith("/v1/"));
  byId("routes").replaceChildren(
    ...operations.map(({ id, method, path }) =>
      make("li", {}, make("a", { href: `#${id}` }, make("span", { className: `method ${method}`, textContent: method.toUpperCase() }), path)),
    ),
    make("li", {}, make("a", { href: "#problems", textContent: "Problems" })),
  );
  main.replaceChildren(make("p", { className: "note" }, ...prose(description.info.description)), ...operations.map(operationPart), problemsPart(operations) ?? "");
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

await show();
