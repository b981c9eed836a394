// Command abcibench measures ABCI applications over their socket with CometBFT's own Go client: CometBFT's Go
// key-value store, ours with the default plugin, and ours with an empty pipeline, in turn, round by round.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"dseq/bench/internal/apps"
	"dseq/bench/internal/figures"
)

type options struct {
	abciCli, dseq, home, work, out string
	rounds                         int
	checks, syncChecks, blocks     int
}

func main() {
	var o options
	flag.StringVar(&o.abciCli, "abci-cli", "", "CometBFT's abci-cli")
	flag.StringVar(&o.dseq, "dseq", "", "our binary; without it the key-value store is compared with itself")
	flag.StringVar(&o.home, "home", "", "a home that dseq init made, for its genesis and its plugins")
	flag.StringVar(&o.work, "work", "", "folder for sockets, homes and logs")
	flag.StringVar(&o.out, "out", "", "where the figures go")
	flag.IntVar(&o.rounds, "rounds", 11, "rounds")
	flag.IntVar(&o.checks, "checks", 200_000, "pipelined CheckTx in a round")
	flag.IntVar(&o.syncChecks, "sync-checks", 2_000, "synchronous CheckTx in a round")
	flag.IntVar(&o.blocks, "blocks", 6, "blocks in a round")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "abcibench:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	ctx := context.Background()
	var subjects []*subject
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, s.close())
		}
	}()
	add := func(name string, app apps.App, state []byte, startErr error) error {
		if startErr != nil {
			return startErr
		}
		s, err := newSubject(ctx, name, app, state)
		subjects = append(subjects, s)
		return err
	}
	app, err := apps.Kvstore(filepath.Join(o.work, "kvstore"), o.abciCli)
	if err := add("Go kvstore", app, nil, err); err != nil {
		return err
	}
	if o.dseq == "" {
		for _, name := range []string{"kvstore again", "kvstore once more"} {
			app, err := apps.Kvstore(filepath.Join(o.work, name), o.abciCli)
			if err := add(name, app, nil, err); err != nil {
				return err
			}
		}
	} else {
		genesis, err := apps.ReadGenesis(o.home)
		if err != nil {
			return err
		}
		serve := func(name string, state []byte) error {
			dir := filepath.Join(o.work, name)
			if err := apps.FreshHome(dir, o.home); err != nil {
				return err
			}
			app, err := apps.Dseq(dir, o.dseq)
			return add(name, app, state, err)
		}
		if err := serve("passthrough", genesis.Passthrough); err != nil {
			return err
		}
		if err := serve("no-op", genesis.Noop); err != nil {
			return err
		}
	}
	if err := measure(ctx, o, subjects); err != nil {
		return err
	}
	return table(subjects[0], subjects[1], subjects[2]).Write(o.out)
}

// measure runs the rounds. The first one, smaller, only warms up and is thrown away.
func measure(ctx context.Context, o options, subjects []*subject) error {
	plain, err := newPlainFile(filepath.Join(o.work, "plain"))
	if err != nil {
		return err
	}
	defer plain.close()
	order := slices.Clone(subjects)
	for round := 0; round <= o.rounds; round++ {
		checks, syncChecks, blocks := o.checks, o.syncChecks, o.blocks
		if round == 0 {
			checks, syncChecks, blocks = checks/5, syncChecks/5, 4
		}
		// Every other round runs backwards, so that coming first or last favours nobody.
		slices.Reverse(order)
		for _, s := range order {
			if err := s.pipelined(ctx, checks); err != nil {
				return err
			}
			if err := s.synchronous(ctx, syncChecks); err != nil {
				return err
			}
			if err := s.decide(ctx, blocks, plain); err != nil {
				return err
			}
			if round == 0 {
				s.forget()
			}
		}
	}
	return nil
}

func table(kvstore, passthrough, noop *subject) figures.File {
	atLeast := func(factor float64) figures.Target {
		return figures.Target{Kind: figures.AtLeast, Factor: factor}
	}
	row := func(what, unit string, ours, theirs *subject, pick func(*subject) []float64, target figures.Target) figures.Row {
		return figures.Row{
			What: what, Unit: unit,
			Ours:   figures.Series{Name: ours.name, Rounds: pick(ours)},
			Theirs: figures.Series{Name: theirs.name, Rounds: pick(theirs)},
			Target: target,
		}
	}
	rate := func(s *subject) []float64 { return s.checkRate }
	p50 := func(s *subject) []float64 { return s.checkP50 }
	mean := func(s *subject) []float64 { return s.checkMean }
	block := func(s *subject) []float64 { return s.blockMs }
	cpu := func(s *subject) []float64 { return s.checkCPU }
	clientCPU := func(s *subject) []float64 { return s.clientCPU }
	atMost := figures.Target{Kind: figures.AtMost, Factor: 1.5}
	budget := figures.Target{Kind: figures.AtMost, Factor: 3, Allowance: blockTxs * 0.025}
	durable := func(s *subject) figures.Row {
		return figures.Row{
			What: "FinalizeBlock+Commit over the socket, 4,096 x 1 KiB", Unit: "ms",
			Ours:   figures.Series{Name: s.name, Rounds: s.blockMs},
			Theirs: figures.Series{Name: "plain file", Rounds: s.plainMs},
			Target: budget,
		}
	}
	return figures.File{
		Program: "abcibench",
		Taken:   time.Now().UTC(),
		CPUs:    runtime.NumCPU(),
		Rows: []figures.Row{
			row("CheckTx pipelined, 256 B", "tx/s", passthrough, kvstore, rate, atLeast(0.6)),
			row("CheckTx pipelined, 256 B", "tx/s", noop, kvstore, rate, atLeast(1.3)),
			row("CheckTx pipelined, 256 B", "tx/s", passthrough, noop, rate, atLeast(0.5)),
			row("CheckTx pipelined, the server's CPU", "us/tx", passthrough, kvstore, cpu, figures.Target{}),
			row("CheckTx pipelined, the server's CPU", "us/tx", noop, kvstore, cpu, figures.Target{}),
			row("CheckTx pipelined, the client's CPU", "us/tx", passthrough, kvstore, clientCPU, figures.Target{}),
			row("CheckTx pipelined, the client's CPU", "us/tx", noop, kvstore, clientCPU, figures.Target{}),
			row("CheckTx round trip, p50", "us", passthrough, kvstore, p50, atMost),
			row("CheckTx round trip, p50", "us", noop, kvstore, p50, atMost),
			row("CheckTx round trip, mean", "us", passthrough, kvstore, mean, figures.Target{}),
			durable(passthrough),
			durable(noop),
			// The key-value store keeps everything in memory: shown for scale, not a target.
			row("FinalizeBlock+Commit over the socket, 4,096 x 1 KiB", "ms", passthrough, kvstore, block, figures.Target{}),
		},
	}
}
