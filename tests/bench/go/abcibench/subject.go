package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	abcicli "github.com/cometbft/cometbft/abci/client"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/types"

	"dseq/bench/internal/apps"
	"dseq/bench/internal/child"
	"dseq/bench/internal/figures"
)

const (
	checkBytes   = 256
	blockTxs     = 4096
	blockTxBytes = 1024
	chainID      = "bench"
)

// subject is one application under measurement, with the two connections CometBFT would use for it.
type subject struct {
	name      string
	app       apps.App
	mempool   abcicli.Client
	consensus abcicli.Client
	height    int64
	accepted  atomic.Int64

	checkRate, checkP50, checkMean, blockMs, plainMs []float64
	// What a pipelined CheckTx costs the application and CometBFT's client, in microseconds of all their threads.
	// It says more than the rate on a machine that is busy with other things.
	checkCPU, clientCPU []float64
}

func newSubject(ctx context.Context, name string, app apps.App, state []byte) (*subject, error) {
	s := &subject{name: name, app: app}
	connect := func() (abcicli.Client, error) {
		client := abcicli.NewSocketClient(app.Address, true)
		return client, client.Start()
	}
	var err error
	if s.mempool, err = connect(); err != nil {
		return s, err
	}
	if s.consensus, err = connect(); err != nil {
		return s, err
	}
	s.mempool.SetResponseCallback(func(_ *abci.Request, response *abci.Response) {
		if check := response.GetCheckTx(); check != nil && check.Code == abci.CodeTypeOK {
			s.accepted.Add(1)
		}
	})
	params := types.DefaultConsensusParams().ToProto()
	_, err = s.consensus.InitChain(ctx, &abci.RequestInitChain{
		Time:            time.Now().UTC(),
		ChainId:         chainID,
		ConsensusParams: &params,
		AppStateBytes:   state,
		InitialHeight:   1,
	})
	if err != nil {
		return s, fmt.Errorf("%s refuses InitChain: %w (%w)", name, err, app.Ended())
	}
	return s, nil
}

func (s *subject) close() error {
	var all []error
	for _, client := range []abcicli.Client{s.mempool, s.consensus} {
		if client != nil && client.IsRunning() {
			all = append(all, client.Stop())
		}
	}
	return errors.Join(append(all, s.app.Stop())...)
}

// forget drops what was measured so far.
func (s *subject) forget() {
	s.checkRate, s.checkP50, s.checkMean, s.blockMs, s.plainMs = nil, nil, nil, nil, nil
	s.checkCPU, s.clientCPU = nil, nil
}

// fresh makes transactions that no application has seen, and leaves none of the client's garbage to be collected
// while the application is timed.
func (s *subject) fresh(count, size int) [][]byte {
	txs := apps.NewTxs().Make(count, size)
	s.accepted.Store(0)
	runtime.GC()
	return txs
}

// pipelined sends CheckTx without waiting for answers, as CometBFT's mempool does under load.
func (s *subject) pipelined(ctx context.Context, count int) error {
	txs := s.fresh(count, checkBytes)
	cpu, clientCPU := s.app.CPUSeconds(), child.OwnCPUSeconds()
	begin := time.Now()
	for _, tx := range txs {
		if _, err := s.mempool.CheckTxAsync(ctx, &abci.RequestCheckTx{Tx: tx}); err != nil {
			return fmt.Errorf("%s: CheckTx: %w", s.name, err)
		}
	}
	if err := s.mempool.Flush(ctx); err != nil {
		return fmt.Errorf("%s: flush: %w", s.name, err)
	}
	s.checkRate = append(s.checkRate, float64(count)/time.Since(begin).Seconds())
	s.checkCPU = append(s.checkCPU, (s.app.CPUSeconds()-cpu)/float64(count)*1e6)
	s.clientCPU = append(s.clientCPU, (child.OwnCPUSeconds()-clientCPU)/float64(count)*1e6)
	return s.allAccepted(count)
}

// synchronous waits for each answer before the next request.
func (s *subject) synchronous(ctx context.Context, count int) error {
	txs := s.fresh(count, checkBytes)
	us := make([]float64, 0, count)
	sum := 0.0
	for _, tx := range txs {
		begin := time.Now()
		if _, err := s.mempool.CheckTx(ctx, &abci.RequestCheckTx{Tx: tx}); err != nil {
			return fmt.Errorf("%s: CheckTx: %w", s.name, err)
		}
		taken := float64(time.Since(begin).Nanoseconds()) / 1e3
		us = append(us, taken)
		sum += taken
	}
	s.checkP50 = append(s.checkP50, figures.Median(us))
	s.checkMean = append(s.checkMean, sum/float64(count))
	return s.allAccepted(count)
}

// decide finalizes and commits blocks of transactions no CheckTx has seen, each followed by the same bytes to
// a plain file.
func (s *subject) decide(ctx context.Context, count int, plain *plainFile) error {
	var blockMs, plainMs []float64
	for range count {
		txs := s.fresh(blockTxs, blockTxBytes)
		s.height++
		request := &abci.RequestFinalizeBlock{
			Txs:                txs,
			Hash:               blockHash(s.height),
			Height:             s.height,
			Time:               time.Now().UTC(),
			NextValidatorsHash: blockHash(0),
			ProposerAddress:    blockHash(0)[:20],
		}
		begin := time.Now()
		response, err := s.consensus.FinalizeBlock(ctx, request)
		if err != nil {
			return fmt.Errorf("%s: FinalizeBlock: %w", s.name, err)
		}
		if _, err := s.consensus.Commit(ctx, &abci.RequestCommit{}); err != nil {
			return fmt.Errorf("%s: Commit: %w", s.name, err)
		}
		blockMs = append(blockMs, float64(time.Since(begin).Microseconds())/1e3)
		refused := func(r *abci.ExecTxResult) bool { return r.Code != abci.CodeTypeOK }
		if len(response.TxResults) != blockTxs || slices.ContainsFunc(response.TxResults, refused) {
			return fmt.Errorf("%s: a block's transactions were not all accepted", s.name)
		}
		taken, err := plain.append(slices.Concat(txs...))
		if err != nil {
			return err
		}
		plainMs = append(plainMs, float64(taken.Microseconds())/1e3)
	}
	s.blockMs = append(s.blockMs, figures.Median(blockMs))
	s.plainMs = append(s.plainMs, figures.Median(plainMs))
	return nil
}

func (s *subject) allAccepted(count int) error {
	if got := s.accepted.Load(); got != int64(count) {
		return fmt.Errorf("%s accepted %d of %d transactions", s.name, got, count)
	}
	return s.mempool.Error()
}

func blockHash(height int64) []byte {
	hash := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(height)))
	return hash[:]
}

// plainFile takes the same bytes as the store, with one write and one sync.
type plainFile struct{ file *os.File }

func newPlainFile(path string) (*plainFile, error) {
	file, err := os.Create(path)
	return &plainFile{file}, err
}

func (p *plainFile) append(bytes []byte) (time.Duration, error) {
	begin := time.Now()
	if _, err := p.file.Write(bytes); err != nil {
		return 0, err
	}
	err := p.file.Sync()
	return time.Since(begin), err
}

func (p *plainFile) close() { _ = p.file.Close() }
