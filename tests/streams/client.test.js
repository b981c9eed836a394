// The official client, unmodified, reads and follows the sequence of a real node.
import { expect, test } from "vitest"
import { DurableStream, stream } from "@durable-streams/client"

const url = `${process.env.NODE_URL}/v1/sequence`

async function submit(bytes) {
  const params = { tx: Buffer.from(bytes).toString("base64") }
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "broadcast_tx_commit", params })
  const response = await fetch(process.env.RPC_URL, { method: "POST", body })
  const { result, error } = await response.json()
  expect(error).toBeUndefined()
  expect(result.tx_result.code).toBe(0)
}

/** All kinds of bytes, no two alike. */
let count = 0
function noise(length) {
  const bytes = Buffer.alloc(length, ++count)
  for (let at = 0; at < length; at++) bytes[at] = (at * 7 + count) % 256
  bytes.write(`#${count}`)
  return bytes
}

async function plain() {
  return Buffer.from(await (await fetch(url)).arrayBuffer())
}

/** Reads on from an offset until `length` more bytes have come, and says where it is then. */
async function follow(live, offset, length, meanwhile) {
  const response = await stream({ url, offset, live })
  const chunks = []
  let next
  await new Promise((resolve, reject) => {
    response.subscribeBytes(async (chunk) => {
      chunks.push(chunk.data)
      next = chunk.offset
      if (chunks.reduce((sum, data) => sum + data.length, 0) >= length) resolve()
    })
    meanwhile?.().catch(reject)
  })
  response.cancel()
  return { bytes: Buffer.concat(chunks), next }
}

test("it reads what a plain GET reads", async () => {
  for (const length of [5, 1, 300, 70000]) await submit(noise(length))
  const response = await stream({ url, offset: "-1", live: false })
  const bytes = Buffer.from(await response.body())
  expect(bytes.equals(await plain())).toBe(true)
  expect(response.offset).toBe(String(bytes.length).padStart(20, "0"))
  expect(response.upToDate).toBe(true)
})

test("HEAD says where the end is", async () => {
  const head = await DurableStream.head({ url })
  expect(head.exists).toBe(true)
  expect(head.contentType).toBe("application/octet-stream")
  expect(Number(head.offset)).toBe((await plain()).length)
})

for (const live of ["long-poll", "sse"]) {
  test(`it follows by ${live}, and resumes where it was`, async () => {
    const before = await plain()
    const first = [noise(10), noise(3), noise(40000)]
    const length = before.length + first.reduce((sum, data) => sum + data.length, 0)
    const { bytes, next } = await follow(live, "-1", length, async () => {
      for (const data of first) await submit(data)
    })
    expect(bytes.equals(Buffer.concat([before, ...first]))).toBe(true)
    const missed = [noise(2), noise(200)]
    for (const data of missed) await submit(data)
    const late = noise(7)
    const resumed = await follow(live, next, 209, () => submit(late))
    expect(resumed.bytes.equals(Buffer.concat([...missed, late]))).toBe(true)
  })
}

test("an offset that the node does not have yet is an error and no smaller offset", async () => {
  const answer = await fetch(`${url}?offset=${"9".padStart(20, "0").replace("0", "1")}`)
  expect(answer.status).toBe(503)
  expect((await answer.json()).type).toBe("urn:dseq:problem:node-behind")
  expect(answer.headers.get("stream-next-offset")).toBe(null)
})
