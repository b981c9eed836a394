// The public conformance suite, against the kernel over memory. What passes is compared with expected.txt by `compare.js`.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

runConformanceTests({ baseUrl: process.env.STREAMS_URL, longPollTimeoutMs: 2000 })
