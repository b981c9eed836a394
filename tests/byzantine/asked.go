package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cometbft/cometbft/libs/log"
)

// How a validator can break the rules, as the file says it.
const (
	// Proposes what the pipeline rejects, and votes for it.
	reject = "reject"
	// Proposes what the pipeline rejects, in the name of another validator.
	forge = "forge"
	// Proposes different blocks to different peers, and votes for each of them.
	equivocate = "equivocate"
	// Signs two votes wherever it should sign one.
	doubleVote = "double-vote"
	// Sends no proposals, parts of blocks and votes, its own or others'.
	withhold = "withhold"
	// Runs no node: connects to peers with the node's key and sends what no node sends.
	garbage = "garbage"
)

// How often the file is read.
const pollEvery = 50 * time.Millisecond

// asked is what the home asks for now.
type asked struct {
	path string
	now  atomic.Pointer[string]
}

// watch begins to follow a home's file. A node cannot begin or end to send garbage while it runs: then the process ends, and
// its supervisor starts it again.
func watch(home string, logger log.Logger) *asked {
	a := &asked{path: filepath.Join(home, "byzantine")}
	a.read()
	go func() {
		for {
			time.Sleep(pollEvery)
			before := *a.now.Load()
			a.read()
			after := *a.now.Load()
			if before == after {
				continue
			}
			logger.Error("behaves otherwise", "before", before, "now", after)
			if before == garbage || after == garbage {
				os.Exit(1)
			}
		}
	}()
	return a
}

func (a *asked) read() {
	text, err := os.ReadFile(a.path)
	if err != nil && !os.IsNotExist(err) {
		return
	}
	behaviour := strings.TrimSpace(string(text))
	a.now.Store(&behaviour)
}

func (a *asked) is(behaviour string) bool { return *a.now.Load() == behaviour }
