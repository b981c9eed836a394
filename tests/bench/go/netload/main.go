// Command netload puts a bounded load on a network that is already running on this machine, and says what it
// decided each second.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"dseq/bench/internal/load"
)

func main() {
	var o load.Options
	urls := flag.String("urls", "http://127.0.0.1:26657,http://127.0.0.1:26660,http://127.0.0.1:26662,http://127.0.0.1:26664",
		"the nodes' RPC, separated by commas")
	flag.IntVar(&o.Connections, "connections", 4, "connections to each node")
	flag.IntVar(&o.TxBytes, "tx-bytes", 256, "bytes in a transaction, at least 24")
	flag.Int64Var(&o.Window, "window", 20_000, "transactions submitted and not yet decided")
	flag.Int64Var(&o.CountMax, "count", 10_000_000, "transactions at most")
	flag.DurationVar(&o.WarmUp, "warm-up", 3*time.Second, "left out of the rate")
	flag.DurationVar(&o.Duration, "duration", 15*time.Second, "how long to submit, warm-up included")
	commits := flag.Int("commits", 0, "first measure this many broadcast_tx_commit, one after the other")
	rest := flag.Duration("rest", 0, "rest before each of them")
	flag.Parse()
	o.URLs = strings.Split(*urls, ",")
	latency, err := load.Commits(o.URLs, *commits, o.TxBytes, *rest)
	if err == nil && *commits > 0 {
		fmt.Printf("broadcast_tx_commit: p50 %.1f ms of %d\n", latency.P50, *commits)
	}
	var result load.Result
	if err == nil {
		result, err = load.Run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "netload:", err)
		os.Exit(1)
	}
	text, _ := json.MarshalIndent(result, "", "  ")
	fmt.Println(string(text))
}
