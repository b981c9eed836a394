// Compares what vitest reports of the conformance suite with expected.txt, by name. Usage: compare.js REPORT EXPECTED
import { readFileSync, writeFileSync } from "node:fs"

const [report, expected] = process.argv.slice(2)
const HEAD = `# Tests of @durable-streams/server-conformance-tests, by name: "+" must pass. "-" is not run, or not expected to pass: it
# needs times to live, closure, producers, forks or subscriptions, none of which a node has. Regenerate with UPDATE=1 make test-streams, and review what changes.
`

const results = JSON.parse(readFileSync(report)).testResults.flatMap((file) => file.assertionResults)
const found = new Map(results.map(({ fullName, status }) => [fullName, status === "passed"]))
if (found.size !== results.length) throw new Error("two tests have one name")
if (process.env.UPDATE) {
  const lines = [...found].map(([name, passes]) => `${passes ? "+" : "-"} ${name}\n`)
  writeFileSync(expected, HEAD + lines.join(""))
}

const lines = readFileSync(expected, "utf8").split("\n").filter((line) => /^[+-] /.test(line))
const listed = new Map(lines.map((line) => [line.slice(2), line[0] === "+"]))
const failed = []
for (const [name, mustPass] of listed) {
  if (!found.has(name)) failed.push(`did not run: ${name}`)
  else if (mustPass && !found.get(name)) failed.push(`fails: ${name}`)
  else if (!mustPass && found.get(name)) console.log(`passes, though it is not expected to: ${name}`)
}
for (const name of found.keys()) if (!listed.has(name)) failed.push(`is not listed: ${name}`)
const passing = [...found.values()].filter(Boolean).length
console.log(`conformance suite: ${passing} of ${found.size} tests pass, as ${[...listed.values()].filter(Boolean).length} must`)
for (const failure of failed) console.error(`conformance suite: ${failure}`)
process.exit(failed.length === 0 ? 0 : 1)
