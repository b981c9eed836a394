// Command netbench compares four nodes that run our application with the same four nodes that run CometBFT's
// built-in no-op application: same settings, same load, in turn, round by round. It also measures how long
// broadcast_tx_commit takes on the idle local network, and with CometBFT's default settings.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"dseq/bench/internal/apps"
	"dseq/bench/internal/figures"
	"dseq/bench/internal/load"
	"dseq/bench/internal/testnet"
)

const (
	nodes   = 4
	txBytes = 256
	// CometBFT's defaults take more than a second for each commit and are measured once; ours in every round.
	commitsRound    = 20
	commitsDefaults = 50
	// The network is idle again well within this time of its last block.
	rest = 250 * time.Millisecond
)

type options struct {
	cometbft, dseq, against, home, networks, work, out string
	rounds                                             int
	load                                               load.Options
	skipDefaults                                       bool
}

func main() {
	var o options
	flag.StringVar(&o.cometbft, "cometbft", "", "the cometbft binary")
	flag.StringVar(&o.dseq, "dseq", "", "our binary; without it no-op is compared with itself")
	flag.StringVar(&o.against, "against", "", "another binary of ours, to compare with instead of no-op")
	flag.StringVar(&o.home, "home", "", "a home that dseq init made, for its genesis and its plugins")
	flag.StringVar(&o.networks, "networks", "networks", "folder with the networks' settings")
	flag.StringVar(&o.work, "work", "", "folder for homes and logs")
	flag.StringVar(&o.out, "out", "", "where the figures go")
	flag.IntVar(&o.rounds, "rounds", 4, "rounds; even, so that both come first as often")
	flag.BoolVar(&o.skipDefaults, "skip-defaults", false, "leave out the minute with CometBFT's default settings")
	flag.IntVar(&o.load.Connections, "connections", 4, "connections to each node")
	flag.Int64Var(&o.load.Window, "window", 20_000, "transactions submitted and not yet decided")
	flag.DurationVar(&o.load.WarmUp, "warm-up", 3*time.Second, "left out of the rate")
	flag.DurationVar(&o.load.Duration, "duration", 13*time.Second, "how long to submit, warm-up included")
	flag.Parse()
	o.load.TxBytes, o.load.CountMax = txBytes, 10_000_000
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "netbench:", err)
		os.Exit(1)
	}
}

// subject is one kind of network under measurement.
type subject struct {
	name    string
	options testnet.Options
	// loaded is false where only broadcast_tx_commit is measured.
	loaded bool
	// One for each round.
	rates, latencies []float64
	raw              []any
}

func run(o options) error {
	settings, err := testnet.ReadSettings(filepath.Join(o.networks, "common", "cometbft.toml"), filepath.Join(o.networks, "local", "cometbft.toml"))
	if err != nil {
		return err
	}
	network := func(name string, settings map[string]any) testnet.Options {
		return testnet.Options{CometBFT: o.cometbft, Dir: filepath.Join(o.work, name), Nodes: nodes, Settings: settings}
	}
	noop := &subject{name: "built-in noop", options: network("noop", settings), loaded: true}
	ours := &subject{name: "dseq", options: network("dseq", settings), loaded: true}
	defaults := &subject{name: "noop, default settings", options: network("defaults", nil)}
	if o.dseq != "" {
		var genesis apps.Genesis
		if genesis, err = apps.ReadGenesis(o.home); err != nil {
			return err
		}
		ours.options.Dseq, ours.options.AppState = o.dseq, genesis.Passthrough
		if o.against != "" {
			noop.name = "the other dseq"
			noop.options.Dseq, noop.options.AppState = o.against, genesis.Passthrough
		}
	}
	order := []*subject{noop, ours}
	for range o.rounds {
		for _, s := range order {
			if err := s.round(o); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		// Every other round runs backwards, so that coming first or last favours nobody.
		order[0], order[1] = order[1], order[0]
	}
	if !o.skipDefaults {
		if err := defaults.round(o); err != nil {
			return fmt.Errorf("%s: %w", defaults.name, err)
		}
	}
	return table(noop, ours, defaults).Write(o.out)
}

// round starts the network afresh, measures it idle and loaded, and stops it.
func (s *subject) round(o options) (err error) {
	fmt.Fprintf(os.Stderr, "%s: starting %d nodes\n", s.name, nodes)
	network, err := testnet.Start(s.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Stop()) }()
	// CometBFT's defaults are measured back to back: there a rest only hides part of the wait for the next block.
	count, pause := commitsRound, rest
	if !s.loaded {
		count, pause = commitsDefaults, 0
	}
	latency, err := load.Commits(network.URLs, count, txBytes, pause)
	if err != nil {
		return errors.Join(err, network.Ended())
	}
	s.latencies = append(s.latencies, latency.P50)
	s.raw = append(s.raw, latency)
	fmt.Fprintf(os.Stderr, "%s: broadcast_tx_commit p50 %.1f ms\n", s.name, latency.P50)
	if !s.loaded {
		return nil
	}
	before := network.CPU()
	o.load.URLs = network.URLs
	result, err := load.Run(o.load)
	if err != nil {
		return errors.Join(err, network.Ended())
	}
	s.rates = append(s.rates, result.TxsPerSecond)
	cpu := network.CPU().Minus(before)
	s.raw = append(s.raw, result, cpu)
	perTx := func(seconds float64) float64 { return seconds / float64(result.Decided) * 1e6 }
	fmt.Fprintf(os.Stderr, "%s: %.0f tx/s, %d refused, %d blocks; on all nodes together %.0f us of CPU for each transaction in CometBFT, %.0f in the application\n",
		s.name, result.TxsPerSecond, result.Refused, result.Blocks, perTx(cpu.CometBFT), perTx(cpu.App))
	return nil
}

func table(noop, ours, defaults *subject) figures.File {
	rows := []figures.Row{
		{
			What: "four nodes under load, 256 B", Unit: "tx/s",
			Ours:   figures.Series{Name: ours.name, Rounds: ours.rates},
			Theirs: figures.Series{Name: noop.name, Rounds: noop.rates},
			Target: figures.Target{Kind: figures.AtLeast, Factor: 0.65},
		},
		{
			What: "broadcast_tx_commit, four idle nodes, p50", Unit: "ms",
			Ours:   figures.Series{Name: ours.name, Rounds: ours.latencies},
			Theirs: figures.Series{Name: noop.name, Rounds: noop.latencies},
		},
	}
	if len(defaults.latencies) > 0 {
		rows = append(rows, figures.Row{
			What: "broadcast_tx_commit, four idle nodes, p50", Unit: "ms",
			Ours:   figures.Series{Name: ours.name, Rounds: ours.latencies},
			Theirs: figures.Series{Name: defaults.name, Rounds: defaults.latencies},
			Target: figures.Target{Kind: figures.AtMost, Allowance: 100},
		})
	}
	return figures.File{
		Program: "netbench",
		Taken:   time.Now().UTC(),
		CPUs:    runtime.NumCPU(),
		Rows:    rows,
		Notes:   map[string]any{noop.name: noop.raw, ours.name: ours.raw, defaults.name: defaults.raw},
	}
}
